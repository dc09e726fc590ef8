"""The phrasebook: its grammar, case by case, and the promises of the corpus."""

import re
import subprocess
import sys

import pytest

from dragoman.errors import ConfigError
from train.tasks.translation.phrasebook.corpus import MAXIMUM_SIZE, MINIMUM_SIZE, PATTERNS, generate, shares
from train.tasks.translation.phrasebook.grammar import Adjective, Noun, Owner, indefinite_article
from train.tasks.translation.phrasebook.lexicon import activities, food, nouns, people, spots
from train.tasks.translation.phrasebook.numerals import (
    clock_times,
    dates,
    english_number,
    german_number,
    prices,
    timetable,
)
from train.tasks.translation.phrasebook.template import Pair, pattern
from train.tasks.translation.phrasebook.verbs import activity

TOWER = nouns.noun("tower", "der Turm", "Türme")
CHURCH = nouns.noun("church", "die Kirche", "Kirchen")
HOUSE = nouns.noun("house", "das Haus", "Häuser")
COLLEAGUE = nouns.noun("colleague", "der Kollege", "Kollegen", oblique="Kollegen")
OLD = Adjective("old", "alt")
DEAR = Adjective("expensive", "teuer", "teur")


@pytest.fixture(scope="module")
def every_pair() -> list[tuple[str, Pair]]:
    """Make every pair that the phrasebook can give, with the name of its pattern."""
    return [(kind.name, kind.pair(number)) for kind in PATTERNS for number in range(kind.count)]


@pytest.fixture(scope="module")
def translations(every_pair: list[tuple[str, Pair]]) -> dict[str, str]:
    """Map every English sentence to its German ones."""
    return dict(pair for _, pair in every_pair)


# Grammar


@pytest.mark.parametrize(
    ("noun", "form", "expected"),
    [
        (TOWER, "der", "der Turm"),
        (TOWER, "den", "den Turm"),
        (TOWER, "dem", "dem Turm"),
        (CHURCH, "der", "die Kirche"),
        (CHURCH, "den", "die Kirche"),
        (CHURCH, "dem", "der Kirche"),
        (HOUSE, "der", "das Haus"),
        (HOUSE, "den", "das Haus"),
        (HOUSE, "dem", "dem Haus"),
        (TOWER, "ein", "ein Turm"),
        (TOWER, "einen", "einen Turm"),
        (TOWER, "einem", "einem Turm"),
        (CHURCH, "einen", "eine Kirche"),
        (CHURCH, "einem", "einer Kirche"),
        (HOUSE, "einen", "ein Haus"),
        (TOWER, "keinen", "keinen Turm"),
        (CHURCH, "keinen", "keine Kirche"),
        (HOUSE, "keinen", "kein Haus"),
        (TOWER, "dieser", "dieser Turm"),
        (CHURCH, "dieser", "diese Kirche"),
        (HOUSE, "diesen", "dieses Haus"),
        (TOWER, "welcher", "welcher Turm"),
        (TOWER, "zum", "zum Turm"),
        (CHURCH, "zum", "zur Kirche"),
        (TOWER, "vom", "vom Turm"),
        (CHURCH, "vom", "von der Kirche"),
        (HOUSE, "im", "im Haus"),
        (CHURCH, "im", "in der Kirche"),
        (HOUSE, "ins", "ins Haus"),
        (TOWER, "ins", "in den Turm"),
        (CHURCH, "ins", "in die Kirche"),
        (TOWER, "am", "am Turm"),
        (CHURCH, "am", "an der Kirche"),
        (TOWER, "er", "er"),
        (CHURCH, "er", "sie"),
        (HOUSE, "er", "es"),
        (TOWER, "viele", "Türme"),
        (TOWER, "vielen", "Türmen"),
        (CHURCH, "vielen", "Kirchen"),
        (nouns.noun("park", "der Park", "Parks"), "vielen", "Parks"),
        (COLLEAGUE, "der", "der Kollege"),
        (COLLEAGUE, "den", "den Kollegen"),
        (COLLEAGUE, "einem", "einem Kollegen"),
    ],
)
def test_a_noun_takes_the_article_of_its_gender_and_case(noun: Noun, form: str, expected: str):
    assert getattr(noun, form)() == expected


@pytest.mark.parametrize(
    ("noun", "form", "adjective", "expected"),
    [
        (TOWER, "der", OLD, "der alte Turm"),
        (TOWER, "den", OLD, "den alten Turm"),
        (TOWER, "dem", OLD, "dem alten Turm"),
        (CHURCH, "der", OLD, "die alte Kirche"),
        (CHURCH, "dem", OLD, "der alten Kirche"),
        (HOUSE, "den", OLD, "das alte Haus"),
        (TOWER, "ein", OLD, "ein alter Turm"),
        (TOWER, "einen", OLD, "einen alten Turm"),
        (TOWER, "einem", OLD, "einem alten Turm"),
        (CHURCH, "ein", OLD, "eine alte Kirche"),
        (CHURCH, "einem", OLD, "einer alten Kirche"),
        (HOUSE, "ein", OLD, "ein altes Haus"),
        (HOUSE, "einen", OLD, "ein altes Haus"),
        (HOUSE, "einem", OLD, "einem alten Haus"),
        (HOUSE, "einen", DEAR, "ein teures Haus"),
    ],
)
def test_an_adjective_ends_as_the_article_before_it_asks(noun: Noun, form: str, adjective: Adjective, expected: str):
    assert getattr(noun, form)(adjective) == expected


@pytest.mark.parametrize(
    ("owner", "form", "noun", "expected"),
    [
        (people.MY, "mein", TOWER, "mein Turm"),
        (people.MY, "meinen", TOWER, "meinen Turm"),
        (people.OUR, "meinen", TOWER, "unseren Turm"),
        (people.OUR, "mein", CHURCH, "unsere Kirche"),
        (people.YOUR, "meinem", HOUSE, "Ihrem Haus"),
        (people.HER, "meinem", CHURCH, "ihrer Kirche"),
        (people.HE, "meinen", HOUSE, "sein Haus"),
        (people.FEMALE_RELATIONS[0], "mein", TOWER, "ihr Turm"),
    ],
)
def test_a_possessive_agrees_with_owner_and_noun(owner: Owner, form: str, noun: Noun, expected: str):
    assert getattr(noun, form)(owner) == expected


def test_people_have_every_case():
    neighbour = next(who for who in people.RELATIONS if who.english == "my neighbour")
    parents = people.GROUPS[0]
    assert (neighbour.german, neighbour.accusative, neighbour.dative) == (
        "mein Nachbar",
        "meinen Nachbarn",
        "meinem Nachbarn",
    )
    assert (parents.german, parents.accusative, parents.dative) == ("meine Eltern", "meine Eltern", "meinen Eltern")


@pytest.mark.parametrize(
    ("words", "article"),
    [
        ("apple", "an"),
        ("old tower", "an"),
        ("university", "a"),
        ("U-boat", "an"),
        ("station", "a"),
        ("ice cream", "an"),
    ],
)
def test_the_english_article_follows_the_sound(words: str, article: str):
    assert indefinite_article(words) == article


def test_a_separable_verb_parts_in_a_main_clause_and_joins_at_the_end_of_another():
    call = activity("call/calls/called the embassy", "die Botschaft | an-rufen rufe ruft hat angerufen")
    sister = people.FEMALE_RELATIONS[0]
    assert call.german == "die Botschaft anrufen"
    assert f"{call.finite(people.I)} ... {call.rest()}" == "rufe ... die Botschaft an"
    assert call.last(sister) == "die Botschaft anruft"
    assert f"{call.habe(people.WE)} {call.done()}" == "haben die Botschaft angerufen"
    assert (call.does(sister), call.does(people.I), call.did()) == (
        "calls the embassy",
        "call the embassy",
        "called the embassy",
    )


def test_every_participle_and_auxiliary_is_a_known_one():
    for doing in (*activities.ACTIVITIES, *activities.HABITS, *activities.ALLOWED):
        assert doing.auxiliary in {"hat", "ist"}, doing
        assert doing.participle.endswith(("t", "en")), doing
        assert doing.ich.endswith("e"), doing


def test_a_two_way_preposition_takes_the_dative_for_a_place_and_the_accusative_for_a_direction():
    by_english = {spot.english: spot for spot in spots.WHERE_THINGS_LIE}
    assert by_english["on the table"].german == "auf dem Tisch"
    assert by_english["on the table"].where_to() == "auf den Tisch"
    assert by_english["in the cupboard"].german == "im Schrank"
    assert by_english["in the cupboard"].where_to() == "in den Schrank"


# Numbers


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (1, "one", "eins"),
        (6, "six", "sechs"),
        (12, "twelve", "zwölf"),
        (16, "sixteen", "sechzehn"),
        (17, "seventeen", "siebzehn"),
        (20, "twenty", "zwanzig"),
        (21, "twenty-one", "einundzwanzig"),
        (30, "thirty", "dreißig"),
        (37, "thirty-seven", "siebenunddreißig"),
        (66, "sixty-six", "sechsundsechzig"),
        (71, "seventy-one", "einundsiebzig"),
        (99, "ninety-nine", "neunundneunzig"),
    ],
)
def test_numbers_in_words(number: int, english: str, german: str):
    assert (english_number(number), german_number(number)) == (english, german)


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("one o'clock", "ein Uhr"),
        ("three o'clock", "drei Uhr"),
        ("half past two", "halb drei"),
        ("half past twelve", "halb eins"),
        ("quarter past seven", "Viertel nach sieben"),
        ("quarter to one", "Viertel vor eins"),
        ("twenty to nine", "zwanzig vor neun"),
        ("five past one", "fünf nach eins"),
    ],
)
def test_clock_times(english: str, german: str):
    assert {time.english: time.german for time in clock_times()}[english] == german


def test_timetable_prices_and_dates():
    assert timetable(9, 9, 30)[1].german == "9:30 Uhr"
    assert (prices(3, 3, (50,))[0].english, prices(3, 3, (50,))[0].german) == ("3.50 euros", "3,50 Euro")
    year = dates()
    assert len(year) == 365
    assert (year[0].english, year[0].german) == ("1 January", "1. Januar")
    assert year[-1].german == "31. Dezember"


# Templates and patterns


def test_a_template_fills_forms_and_agreement():
    needs = pattern(
        "needs",
        "{who} {who:need|needs} {thing.a(kind)}.",
        "{who} {who:brauche|braucht|brauchen} {thing.einen(kind)}.",
        who=(people.I, people.SHE, people.WE),
        thing=(TOWER, HOUSE),
        kind=(OLD,),
    )
    assert needs.count == 6
    assert [needs.pair(number) for number in range(6)] == [
        ("I need an old tower.", "Ich brauche einen alten Turm."),
        ("She needs an old tower.", "Sie braucht einen alten Turm."),
        ("We need an old tower.", "Wir brauchen einen alten Turm."),
        ("I need an old house.", "Ich brauche ein altes Haus."),
        ("She needs an old house.", "Sie braucht ein altes Haus."),
        ("We need an old house.", "Wir brauchen ein altes Haus."),
    ]


@pytest.mark.parametrize(
    "pair",
    [
        ("Please take my neighbour to the opera.", "Bringen Sie meinen Nachbarn bitte zur Oper."),
        ("The train to Vienna leaves at half past two.", "Der Zug nach Wien fährt um halb drei ab."),
        (
            "We have been waiting for the tram for twenty minutes.",
            "Wir warten seit zwanzig Minuten auf die Straßenbahn.",
        ),
        ("I am looking for a blue dress in size 38.", "Ich suche ein blaues Kleid in Größe 38."),
        ("My aunt likes the white blouse very much.", "Die weiße Bluse gefällt meiner Tante sehr."),
        (
            "The jacket that I bought yesterday is too tight.",
            "Die Jacke, die ich gestern gekauft habe, ist zu eng.",
        ),
        ("Please put your suitcase behind the door.", "Stellen Sie Ihren Koffer bitte hinter die Tür."),
        ("My brother does not eat fish.", "Mein Bruder isst keinen Fisch."),
        ("The red belt costs 49.90 euros.", "Der rote Gürtel kostet 49,90 Euro."),
        ("Did you call the embassy yesterday?", "Haben Sie gestern die Botschaft angerufen?"),
        ("He did not go to the cinema last week.", "Er ist letzte Woche nicht ins Kino gegangen."),
        (
            "My sister cannot come tomorrow because she has to work in the office.",
            "Meine Schwester kann morgen nicht kommen, weil sie im Büro arbeiten muss.",
        ),
        ("Can you tell me where the nearest bank is?", "Können Sie mir sagen, wo die nächste Bank ist?"),
        ("My mother works as a doctor in Cologne.", "Meine Mutter arbeitet als Ärztin in Köln."),
        ("Our children have had a cough for two days.", "Unsere Kinder haben seit zwei Tagen Husten."),
    ],
)
def test_the_phrasebook_holds_this_pair(pair: Pair, translations: dict[str, str]):
    assert translations[pair[0]] == pair[1]


def test_there_are_many_patterns_words_and_pairs(every_pair: list[tuple[str, Pair]]):
    english = {word for _, pair in every_pair for word in re.findall(r"[^\W\d_]+", pair[0].lower())}
    german = {word for _, pair in every_pair for word in re.findall(r"[^\W\d_]+", pair[1].lower())}
    assert len({kind.name for kind in PATTERNS}) == len(PATTERNS) >= 40
    assert min(len(english), len(german)) >= 300
    assert len(every_pair) == MAXIMUM_SIZE >= 50_000


def test_no_sentence_of_either_language_occurs_twice(every_pair: list[tuple[str, Pair]]):
    # So the translation is a function, and any split of the pairs is a split of the sentences.
    assert len({english for _, (english, _) in every_pair}) == len(every_pair)
    assert len({german for _, (_, german) in every_pair}) == len(every_pair)


def test_every_sentence_is_written_as_a_sentence(every_pair: list[tuple[str, Pair]]):
    well_written = re.compile(r"[A-ZÄÖÜ0-9][^{}|]*[.?!]")
    for name, pair in every_pair:
        for sentence in pair:
            assert well_written.fullmatch(sentence), (name, sentence)
            assert "  " not in sentence, (name, sentence)
            assert not re.search(r" [.,?!]", sentence), (name, sentence)
        assert pair[0][-1] == pair[1][-1], (name, pair)


def test_german_melts_prepositions_with_their_articles(every_pair: list[tuple[str, Pair]]):
    unmelted = re.compile(r"\b([Zz]u dem|[Zz]u der|[Vv]on dem|[Ii]n dem|[Ii]n das|[Aa]n dem|[Bb]ei dem) [A-ZÄÖÜ]")
    for name, (_, german) in every_pair:
        assert not unmelted.search(german), (name, german)


def test_food_and_drink_have_no_name_twice():
    for group in (food.DISHES, food.DRINKS, food.GROCERIES, food.SERVED, nouns.PLACES, nouns.BELONGINGS):
        assert len({noun.english for noun in group}) == len(group)


# The corpus


def test_the_full_size_has_a_test_set_of_a_thousand():
    splits = generate()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (48_500, 500, 1000)


@pytest.mark.parametrize("size", [MINIMUM_SIZE, 1000, 20_000])
def test_splits_share_no_sentence_and_add_up(size: int):
    splits = generate(size=size, seed=3)
    every = [*splits.train, *splits.validation, *splits.test]
    assert len(every) == size
    assert (len(splits.test), len(splits.validation)) == (size // 50, size // 100)
    for side in (0, 1):
        assert len({pair[side] for pair in every}) == size


@pytest.mark.parametrize("size", [MINIMUM_SIZE, 5000])
def test_every_pattern_is_in_train(size: int, every_pair: list[tuple[str, Pair]]):
    kinds = {pair: name for name, pair in every_pair}
    assert {kinds[pair] for pair in generate(size=size).train} == {kind.name for kind in PATTERNS}


def test_sentences_to_learn_by_heart_are_never_held_out(every_pair: list[tuple[str, Pair]]):
    by_heart = {kind.name for kind in PATTERNS if kind.by_heart}
    kinds = {pair: name for name, pair in every_pair}
    splits = generate(size=MAXIMUM_SIZE)
    assert by_heart
    assert by_heart.isdisjoint(kinds[pair] for pair in [*splits.validation, *splits.test])


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another():
    assert generate(size=2000, seed=1) == generate(size=2000, seed=1)
    assert set(generate(size=2000, seed=1).test) != set(generate(size=2000, seed=2).test)


def test_large_patterns_do_not_swamp_small_ones():
    assert shares([3, 1000, 10], 30) == [3, 17, 10]
    assert shares([5, 5, 5], 15) == [5, 5, 5]


@pytest.mark.parametrize("size", [-1, 0, MINIMUM_SIZE - 1, MAXIMUM_SIZE + 1])
def test_a_size_out_of_range_names_value_and_range(size: int):
    with pytest.raises(ConfigError, match=rf"from {MINIMUM_SIZE} to {MAXIMUM_SIZE}.*got {size}"):
        generate(size=size)


def test_sentences_are_of_middling_length():
    train = generate(size=5000).train
    assert 7 <= sum(len(english.split()) for english, _ in train) / len(train) <= 10


# The command


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "train.tasks.translation.phrasebook", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)


@pytest.mark.parametrize("size", [5, 250])
def test_the_command_prints_as_many_pairs_as_asked(size: int):
    lines = _run("--size", str(size), "--seed", "1").stdout.splitlines()
    assert len(lines) == size
    assert all(line.count("\t") == 1 for line in lines)


def test_the_command_lists_each_pattern_once():
    names = [line.split("\t")[0] for line in _run("--patterns").stdout.splitlines()]
    assert names == [kind.name for kind in PATTERNS]


def test_the_command_explains_a_bad_size():
    result = _run("--size", "0")
    assert result.returncode == 64
    assert result.stderr.strip() == "error: --size must be at least 1, got 0"
