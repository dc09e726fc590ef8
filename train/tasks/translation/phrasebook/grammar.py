"""Grammar: how English and German words change their form in a sentence.

German forms are named after their masculine, so that a template reads aloud: ``{thing.einen}`` is "einen Koffer",
"eine Tasche" or "ein Buch", whatever the gender of the thing.
"""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["m", "f", "n", "pl"]
Case = Literal["nominative", "accusative", "dative"]
Form = Literal["ich", "er", "wir"]
"""The three verb forms of a German present tense: I; he, she, it; and we, they, you (the formal "Sie")."""

_COLUMN: dict[Gender, int] = {"m": 0, "f": 1, "n": 2, "pl": 3}
_Table = dict[Case, tuple[str, str, str, str]]
_THE: _Table = {
    "nominative": ("der", "die", "das", "die"),
    "accusative": ("den", "die", "das", "die"),
    "dative": ("dem", "der", "dem", "den"),
}
_THIS: _Table = {
    "nominative": ("er", "e", "es", "e"),
    "accusative": ("en", "e", "es", "e"),
    "dative": ("em", "er", "em", "en"),
}
_A: _Table = {
    "nominative": ("", "e", "", "e"),
    "accusative": ("en", "e", "", "e"),
    "dative": ("em", "er", "em", "en"),
}
_ADJECTIVE_AFTER_THE: _Table = {
    "nominative": ("e", "e", "e", "en"),
    "accusative": ("en", "e", "e", "en"),
    "dative": ("en", "en", "en", "en"),
}
_ADJECTIVE_AFTER_A: _Table = {
    "nominative": ("er", "e", "es", "en"),
    "accusative": ("en", "e", "es", "en"),
    "dative": ("en", "en", "en", "en"),
}
_CONTRACTED = {
    "zu dem": "zum",
    "zu der": "zur",
    "von dem": "vom",
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "an das": "ans",
    "bei dem": "beim",
}
_PRONOUN: dict[Gender, str] = {"m": "er", "f": "sie", "n": "es", "pl": "sie"}


@dataclass(frozen=True)
class Phrase:
    """Words that never change: an adverb, a name, a time of day."""

    english: str
    german: str


@dataclass(frozen=True)
class Adjective:
    """An adjective; ``stem`` is what the German endings are added to where it differs (teuer, teure)."""

    english: str
    german: str
    stem: str = ""

    def ended(self, ending: str) -> str:
        """The German word with an ending."""
        return (self.stem or self.german) + ending


@dataclass(frozen=True)
class Owner:
    """A possessive: "my" and "mein"."""

    english: str
    german: str

    @property
    def owner(self) -> "Owner":
        """Itself, so that a template may name an owner or a person who owns."""
        return self


@dataclass(frozen=True, kw_only=True)
class Noun:
    """A noun with its gender and plural; ``oblique`` is its accusative and dative singular where it adds -n."""

    english: str
    german: str
    gender: Gender
    english_plural: str
    german_plural: str
    oblique: str = ""

    @property
    def form(self) -> Form:
        """The verb form that goes with it."""
        return "wir" if self.gender == "pl" else "er"

    # English

    def the(self, adjective: Adjective | None = None) -> str:
        """ "the old house" """
        return " ".join(["the", *_words(adjective), self.english])

    def a(self, adjective: Adjective | None = None) -> str:
        """ "an old house" """
        words = " ".join([*_words(adjective), self.english])
        return f"{indefinite_article(words)} {words}"

    def my(self, owner: "Owner | Person") -> str:
        """ "my house", "her house" """
        return f"{owner.owner.english} {self.english}"

    def this(self) -> str:
        """ "this house" """
        return f"this {self.english}"

    def many(self) -> str:
        """ "houses" """
        return self.english_plural

    # German, after the definite article

    def der(self, adjective: Adjective | None = None) -> str:
        """Nominative: "der alte Turm"."""
        return self._the("nominative", adjective)

    def den(self, adjective: Adjective | None = None) -> str:
        """Accusative: "den alten Turm"."""
        return self._the("accusative", adjective)

    def dem(self, adjective: Adjective | None = None) -> str:
        """Dative: "dem alten Turm"."""
        return self._the("dative", adjective)

    def dieser(self) -> str:
        """Nominative: "dieser Turm"."""
        return self._with("dies", _THIS, "nominative")

    def diesen(self) -> str:
        """Accusative: "diesen Turm"."""
        return self._with("dies", _THIS, "accusative")

    def welcher(self) -> str:
        """Nominative: "welcher Turm"."""
        return self._with("welch", _THIS, "nominative")

    # German, after "ein", "kein" and the possessives

    def ein(self, adjective: Adjective | None = None) -> str:
        """Nominative: "ein alter Turm"."""
        return self._with("ein", _A, "nominative", adjective)

    def einen(self, adjective: Adjective | None = None) -> str:
        """Accusative: "einen alten Turm"."""
        return self._with("ein", _A, "accusative", adjective)

    def einem(self, adjective: Adjective | None = None) -> str:
        """Dative: "einem alten Turm"."""
        return self._with("ein", _A, "dative", adjective)

    def keinen(self) -> str:
        """Accusative: "keinen Turm"."""
        return self._with("kein", _A, "accusative")

    def mein(self, owner: "Owner | Person") -> str:
        """Nominative: "mein Turm", "unser Turm"."""
        return self._with(owner.owner.german, _A, "nominative")

    def meinen(self, owner: "Owner | Person") -> str:
        """Accusative: "meinen Turm", "unseren Turm"."""
        return self._with(owner.owner.german, _A, "accusative")

    def meinem(self, owner: "Owner | Person") -> str:
        """Dative: "meinem Turm", "unserem Turm"."""
        return self._with(owner.owner.german, _A, "dative")

    # German, after a preposition that melts into the article

    def zum(self) -> str:
        """To: "zum Turm", "zur Kirche"."""
        return contract("zu", self.dem())

    def vom(self) -> str:
        """From: "vom Turm", "von der Kirche"."""
        return contract("von", self.dem())

    def im(self) -> str:
        """In, at rest: "im Turm", "in der Kirche"."""
        return contract("in", self.dem())

    def ins(self) -> str:
        """Into: "in den Turm", "in die Kirche", "ins Haus"."""
        return contract("in", self.den())

    def am(self) -> str:
        """At: "am Turm", "an der Kirche"."""
        return contract("an", self.dem())

    # German, on its own

    def er(self) -> str:
        """The pronoun that stands for it: "er", "sie", "es"."""
        return _PRONOUN[self.gender]

    def relative_den(self) -> str:
        """The relative pronoun, accusative: "den", "die", "das"."""
        return _THE["accusative"][_COLUMN[self.gender]]

    def viele(self) -> str:
        """Plural, nominative and accusative: "Türme"."""
        return self.german_plural

    def vielen(self) -> str:
        """Plural, dative: "Türmen"."""
        return dative_plural(self.german_plural)

    def _the(self, case: Case, adjective: Adjective | None) -> str:
        column = _COLUMN[self.gender]
        ended = [adjective.ended(_ADJECTIVE_AFTER_THE[case][column])] if adjective else []
        return " ".join([_THE[case][column], *ended, self._declined(case)])

    def _with(self, stem: str, endings: _Table, case: Case, adjective: Adjective | None = None) -> str:
        column = _COLUMN[self.gender]
        ended = [adjective.ended(_ADJECTIVE_AFTER_A[case][column])] if adjective else []
        return " ".join([stem + endings[case][column], *ended, self._declined(case)])

    def _declined(self, case: Case) -> str:
        if self.gender == "pl":
            return dative_plural(self.german) if case == "dative" else self.german
        return self.german if case == "nominative" else self.oblique or self.german


@dataclass(frozen=True, kw_only=True)
class Person:
    """Someone who acts: a pronoun or "my sister", with every form a sentence may need of them."""

    english: str
    german: str
    form: Form
    owner: Owner
    pronoun: Phrase
    english_object: str
    accusative: str
    dative: str
    reflexive: str

    def he(self) -> str:
        """The English pronoun for a second mention."""
        return self.pronoun.english

    def er(self) -> str:
        """The German pronoun for a second mention."""
        return self.pronoun.german

    def him(self) -> str:
        """The English object form: "me", "my sister"."""
        return self.english_object

    def ihn(self) -> str:
        """German accusative: "mich", "meine Schwester"."""
        return self.accusative

    def ihm(self) -> str:
        """German dative: "mir", "meiner Schwester"."""
        return self.dative

    def sich(self) -> str:
        """German reflexive, accusative: "mich", "sich", "uns"."""
        return self.reflexive


def indefinite_article(words: str) -> str:
    """ "a" or "an", by the sound that the next word begins with; the lexicon's exceptions start "uni" or "eu"."""
    return "an" if words[0].lower() in "aeiou" and not words.startswith(("uni", "eu")) else "a"


def contract(preposition: str, words: str) -> str:
    """A German preposition with its article, in one word where German does that: "zu" + "dem Turm" = "zum Turm"."""
    article, rest = words.split(" ", 1)
    melted = f"{preposition} {article}"
    return f"{_CONTRACTED.get(melted, melted)} {rest}"


def dative_plural(plural: str) -> str:
    """A German plural in the dative, which ends in -n unless the plural ends in -n or -s."""
    return plural if plural.endswith(("n", "s")) else plural + "n"


def _words(adjective: Adjective | None) -> list[str]:
    return [adjective.english] if adjective else []
