"""People: speakers, those spoken to and those spoken of."""

from dataclasses import dataclass
from typing import Literal

from train.tasks.translation.phrasebook.grammar import Form, Noun, Owner, Person, Phrase
from train.tasks.translation.phrasebook.lexicon.nouns import noun

MY, YOUR, OUR = Owner("my", "mein"), Owner("your", "Ihr"), Owner("our", "unser")
HIS, HER, THEIR = Owner("his", "sein"), Owner("her", "ihr"), Owner("their", "ihr")
OWNERS = (MY, YOUR, OUR, HIS)
# "Her" may not start a sentence: "Ihr Koffer" would read as "your suitcase".
OWNERS_INSIDE = (*OWNERS, HER)


def _pronoun(english: str, german: str, form: Form, owner: Owner, objects: tuple[str, str, str, str]) -> Person:
    english_object, accusative, dative, reflexive = objects
    return Person(
        english=english,
        german=german,
        form=form,
        owner=owner,
        pronoun=Phrase(english, german),
        english_object=english_object,
        accusative=accusative,
        dative=dative,
        reflexive=reflexive,
    )


I = _pronoun("I", "ich", "ich", MY, ("me", "mich", "mir", "mich"))  # noqa: E741 - its name in English
YOU = _pronoun("you", "Sie", "wir", YOUR, ("you", "Sie", "Ihnen", "sich"))
HE = _pronoun("he", "er", "er", HIS, ("him", "ihn", "ihm", "sich"))
SHE = _pronoun("she", "sie", "er", HER, ("her", "sie", "ihr", "sich"))
WE = _pronoun("we", "wir", "wir", OUR, ("us", "uns", "uns", "uns"))
THEY = _pronoun("they", "sie", "wir", THEIR, ("them", "sie", "ihnen", "sich"))

_MEN = (
    noun("brother", "der Bruder", "Brüder"),
    noun("father", "der Vater", "Väter"),
    noun("husband", "der Mann", "Männer"),
    noun("son", "der Sohn", "Söhne"),
    noun("uncle", "der Onkel", "Onkel"),
    noun("grandfather", "der Großvater", "Großväter"),
    noun("friend", "der Freund", "Freunde"),
    noun("colleague", "der Kollege", "Kollegen", oblique="Kollegen"),
    noun("neighbour", "der Nachbar", "Nachbarn", oblique="Nachbarn"),
    noun("boss", "der Chef", "Chefs"),
)
_WOMEN = (
    noun("sister", "die Schwester", "Schwestern"),
    noun("mother", "die Mutter", "Mütter"),
    noun("wife", "die Frau", "Frauen", english_plural="wives"),
    noun("daughter", "die Tochter", "Töchter"),
    noun("aunt", "die Tante", "Tanten"),
    noun("grandmother", "die Großmutter", "Großmütter"),
)


def _several(english: str, german: str) -> Noun:
    return Noun(english=english, german=german, gender="pl", english_plural=english, german_plural=german)


_PARENTS, _CHILDREN, _FRIENDS = (
    _several("parents", "Eltern"),
    _several("children", "Kinder"),
    _several("friends", "Freunde"),
)


def _relation(owner: Owner, who: Noun) -> Person:
    third: dict[str, Person] = {"m": HE, "f": SHE, "pl": THEY}
    pronoun = third[who.gender]
    return Person(
        english=who.my(owner),
        german=who.mein(owner),
        form=who.form,
        owner=pronoun.owner,
        pronoun=pronoun.pronoun,
        english_object=who.my(owner),
        accusative=who.meinen(owner),
        dative=who.meinem(owner),
        reflexive="sich",
    )


MALE_RELATIONS = tuple(_relation(MY, man) for man in _MEN)
FEMALE_RELATIONS = tuple(_relation(MY, woman) for woman in _WOMEN)
RELATIONS = MALE_RELATIONS + FEMALE_RELATIONS
GROUPS = (_relation(MY, _PARENTS), _relation(OUR, _CHILDREN), _relation(MY, _FRIENDS), _relation(OUR, _FRIENDS))

# "They" may not start a sentence: a capital "Sie" would read as "you".
SUBJECTS = (I, HE, SHE, WE, *RELATIONS, *GROUPS)
ADULTS = tuple(who for who in SUBJECTS if who.english not in {"our children", "my son", "my daughter"})
SUBJECTS_INSIDE = (I, HE, SHE, WE, THEY, *RELATIONS[:6], *FEMALE_RELATIONS[:4], *GROUPS[:2])
OTHERS = (HE, SHE, *RELATIONS, *GROUPS)
ASKED = (
    YOU,
    HE,
    SHE,
    *(_relation(YOUR, who) for who in (*_MEN[:4], *_MEN[6:], *_WOMEN[:4], _PARENTS, _CHILDREN, _FRIENDS)),
)
# Objects of "help", "show", "bring", "wait for".
RECEIVERS = (I, WE, HE, SHE, *RELATIONS, *GROUPS)

YOUNG = tuple(_relation(owner, who) for owner in (MY, OUR) for who in (_MEN[3], _WOMEN[3]))
ADULT = tuple(_relation(MY, who) for who in (_MEN[0], _MEN[1], _MEN[4], *_MEN[6:9], _WOMEN[0], _WOMEN[1], _WOMEN[4]))
OLD = (_relation(MY, _MEN[5]), _relation(MY, _WOMEN[5]))


@dataclass(frozen=True)
class Profession:
    """A profession, with the German word for a man and for a woman."""

    english: str
    german: str
    woman: str

    def by(self, who: Person) -> str:
        """The German word that fits someone: "Lehrer", "Lehrerin"."""
        return self.woman if who.pronoun == SHE.pronoun else self.german

    def a(self) -> str:
        """English, with its article."""
        article: Literal["a", "an"] = "an" if self.english[0] in "aeiou" else "a"
        return f"{article} {self.english}"


PROFESSIONS = (
    Profession("teacher", "Lehrer", "Lehrerin"),
    Profession("doctor", "Arzt", "Ärztin"),
    Profession("engineer", "Ingenieur", "Ingenieurin"),
    Profession("cook", "Koch", "Köchin"),
    Profession("journalist", "Journalist", "Journalistin"),
    Profession("lawyer", "Anwalt", "Anwältin"),
    Profession("musician", "Musiker", "Musikerin"),
    Profession("baker", "Bäcker", "Bäckerin"),
    Profession("architect", "Architekt", "Architektin"),
    Profession("nurse", "Krankenpfleger", "Krankenpflegerin"),
    Profession("farmer", "Landwirt", "Landwirtin"),
    Profession("pilot", "Pilot", "Pilotin"),
    Profession("tailor", "Schneider", "Schneiderin"),
    Profession("actor", "Schauspieler", "Schauspielerin"),
)
WORKERS = (HE, SHE, *(_relation(MY, who) for who in (*_MEN[:3], *_MEN[4:9:2], *_WOMEN[:3], _WOMEN[4])))
WORKERS_ASKED = tuple(_relation(YOUR, who) for who in (*_MEN[:5], _MEN[6], *_WOMEN[:5]))

SURNAMES = tuple(
    Phrase(name, name)
    for name in [
        "Weber",
        "Schmidt",
        "Fischer",
        "Wagner",
        "Becker",
        "Hoffmann",
        "Koch",
        "Richter",
        "Wolf",
        "Braun",
        "Lange",
        "Keller",
    ]
)
FIRST_NAMES = tuple(
    Phrase(name, name)
    for name in [
        "Anna",
        "Peter",
        "Maria",
        "Thomas",
        "Laura",
        "Paul",
        "Julia",
        "Martin",
        "Sophie",
        "Jonas",
        "Emma",
        "David",
        "Clara",
        "Felix",
        "Lena",
        "Simon",
    ]
)
TITLES = (Phrase("Mr", "Herr"), Phrase("Mrs", "Frau"))
