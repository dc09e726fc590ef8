import dataclasses

import pytest

from dragoman.errors import DataError
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits
from train.tasks.translation.cleaning import SCRIPTS, CleaningSettings, clean, script_share

Pair = tuple[str, str]

SETTINGS = CleaningSettings(max_characters=60, max_tokens=128, max_length_ratio=3.0, min_script_share=0.5)
GOOD = ("A good sentence.", "Ein guter Satz.")
HELD = Splits(
    name="toy",
    train=[GOOD],
    validation=[("A validation sentence.", "Ein Satz zur Validierung.")],
    tests={"test": [("A test sentence.", "Ein Testsatz.")]},
)


def dropped(*pairs: Pair, settings: CleaningSettings = SETTINGS, languages: Languages | None = None) -> dict[str, int]:
    corpus = clean(dataclasses.replace(HELD, train=[GOOD, *pairs]), settings, languages or Languages())
    return dict(corpus.reports["train"].dropped)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("", "Leer."), "empty"),
        (("Blank.", " \t\u00a0"), "empty"),
        (("x" * 61, "y" * 50), "too_long"),
        (("Yes.", "Das ist eine sehr viel längere Übersetzung."), "length_ratio"),
        (("Это русское предложение.", "Das ist ein Satz."), "wrong_script"),
        (("A sentence.", "日本語の文です。これは"), "wrong_script"),
        (GOOD, "duplicate"),
        ((" A  good sentence.", "Ein guter\tSatz. "), "duplicate"),
        (("A test sentence.", "Eine andere Übersetzung."), "leaked_into_test"),
        (("A validation  sentence.", "Noch eine andere."), "leaked_into_validation"),
    ],
)
def test_each_reason_drops_what_it_names(pair: Pair, reason: str) -> None:
    assert dropped(pair) == {reason: 1}


@pytest.mark.parametrize(
    "pair",
    [
        ("A good sentence.", "Eine zweite Übersetzung."),
        ("Hi.", "Guten Tag zusammen!"),
        ("12:30", "12.30 Uhr"),
        ("3 + 4 = 7", "3 + 4 = 7"),
        ("I live in Αθήνα now.", "Ich wohne jetzt in Αθήνα."),
    ],
)
def test_ordinary_pairs_stay(pair: Pair) -> None:
    assert dropped(pair) == {}


def test_a_script_is_held_against_its_own_language() -> None:
    russian = Languages(source="ru", target="de")
    corpus = dataclasses.replace(
        HELD, train=[("Это хорошее предложение.", "Ein guter Satz."), ("English here.", "Ein anderer Satz.")]
    )
    assert clean(corpus, SETTINGS, russian).splits.train == [("Это хорошее предложение.", "Ein guter Satz.")]
    assert dropped(("Любой текст.", "Ein Satz."), languages=Languages(source="xx", target="de")) == {}


def test_letters_alone_count_for_the_script() -> None:
    assert script_share("12 + 3!", SCRIPTS["en"]) == 1.0
    assert script_share("ab вг", SCRIPTS["en"]) == 0.5


def test_test_and_validation_sets_lose_only_empty_and_leaked_pairs() -> None:
    corpus = clean(
        dataclasses.replace(
            HELD,
            validation=[*HELD.validation, ("A test sentence.", "Ein Testsatz."), ("", "x"), ("y" * 99, "z")],
            tests={"test": [("A test sentence.", "Ein Testsatz."), ("Это", "x" * 99), ("A", "")]},
        ),
        SETTINGS,
        Languages(),
    )
    assert [len(pairs) for _, pairs in corpus.splits.items()] == [1, 2, 2]
    assert corpus.reports["validation"].dropped["leaked_into_test"] == 1


def test_the_report_adds_up() -> None:
    corpus = clean(dataclasses.replace(HELD, train=[GOOD, GOOD, ("", "x")]), SETTINGS, Languages())
    report = corpus.as_dict()
    assert report["fingerprint"] == corpus.fingerprint
    counts = {"read": 3, "kept": 1, "dropped": {"duplicate": 1, "empty": 1}}
    assert report["splits"]["train"] == {"digest": corpus.digests["train"], **counts}  # type: ignore[index]


def test_a_corpus_with_nothing_left_is_an_error_that_says_why() -> None:
    with pytest.raises(DataError, match=r"the train split of toy has nothing left of 2 examples \(dropped: empty 2\)"):
        clean(dataclasses.replace(HELD, train=[("", "x"), ("y", "")]), SETTINGS, Languages())
