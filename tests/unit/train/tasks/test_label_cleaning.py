import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import ConfigError, DataError
from tests.unit.train.tasks.test_labelled_texts import csv_of, read
from train.data.corpus import Splits
from train.tasks.classification.classes import ClassSettings, class_names
from train.tasks.text_classification.cleaning import WORDS, clean
from train.tasks.text_classification.examples import LabelledText

ANY = ClassSettings(names=None, weights="none", unknown="refuse")


def corpus(
    train: Sequence[LabelledText], validation: Sequence[LabelledText] = (), test: Sequence[LabelledText] = ()
) -> Splits:
    """Splits with the given examples beside two of each of the classes a and b."""
    base = [("one", "a"), ("two", "a"), ("three", "b"), ("four", "b")]
    return Splits(
        name="toy", train=[*base, *train], validation=[("v", "a"), *validation], tests={"test": [("t", "b"), *test]}
    )


def of(**changes: Any) -> ClassSettings:
    return dataclasses.replace(ANY, **changes)


def dropped(splits: Splits, classes: ClassSettings = ANY, split: str = "train") -> dict[str, int]:
    return dict(+clean(splits, classes).reports[split].dropped)


def test_the_same_text_is_kept_once_and_keeps_its_white_space() -> None:
    cleaned = clean(corpus([(" five\n six", "a"), ("five six", "a"), ("Five six", "a")]), ANY)
    assert cleaned.splits.train[4:] == [(" five\n six", "a"), ("Five six", "a")]
    assert cleaned.reports["train"].dropped == {"duplicate": 1}


def test_a_text_of_two_labels_is_left_out_wherever_it_stands() -> None:
    splits = corpus([("five", "a"), ("five", "b"), ("five ", "a"), ("six", "b")])
    assert clean(splits, ANY).splits.train[4:] == [("six", "b")]
    assert dropped(splits) == {"two_labels": 3}


def test_training_texts_that_stand_in_a_held_out_set_are_left_out() -> None:
    splits = corpus([("v", "b"), ("t", "b"), ("t\n", "a")], validation=[("t", "a"), ("w", "b")])
    assert dropped(splits) == {"leaked_into_validation": 1, "two_labels": 2}
    assert dropped(splits, split="validation") == {"leaked_into_test": 1}
    assert dropped(corpus([("t ", "b")])) == {"leaked_into_test": 1}


def test_a_text_leaks_into_a_held_out_set_in_another_case_as_well() -> None:
    assert dropped(corpus([("V", "a"), ("T  ", "b")])) == {"leaked_into_validation": 1, "leaked_into_test": 1}
    assert dropped(corpus([], validation=[("T", "b")]), split="validation") == {"leaked_into_test": 1}


@pytest.mark.parametrize("label", ["two\nlines", "no\xa0break"])
def test_a_label_that_does_not_fit_into_a_line_is_refused_before_training(label: str) -> None:
    with pytest.raises(
        DataError, match=r"example 5 of the train split of toy has the label '(two\\n|no\\xa0).*write it"
    ):
        class_names(corpus([("five", label)]), ANY, WORDS)
    with pytest.raises(ConfigError, match=r"classes\.names .* cannot be printed: '(two|no)"):
        class_names(corpus([]), of(names=("a", label)), WORDS)


def test_a_text_without_anything_is_left_out_of_every_split() -> None:
    splits = corpus([(" \n", "a")], validation=[("", "b")], test=[("\t", "b")])
    assert [dropped(splits, split=name) for name in ("train", "validation", "test")] == [{"empty": 1}] * 3


def test_a_test_set_stays_as_it_is_and_its_flaws_are_told() -> None:
    splits = corpus([], test=[("t", "b"), ("u", "a"), ("u", "b")])
    cleaned = clean(splits, ANY)
    assert cleaned.splits.tests == splits.tests
    report: Any = cleaned.as_dict()["splits"]
    assert report["test"]["flaws"] == {"duplicate": 1, "two_labels": 2}
    assert report["test"]["classes"] == {"a": 1, "b": 3}
    assert "flaws" not in report["train"]


def test_the_report_counts_the_classes_of_every_split_and_the_summary_those_of_training() -> None:
    cleaned = clean(corpus([("five", "b"), ("five", "b")]), ANY)
    report: Any = json.loads(json.dumps(cleaned.as_dict()))["splits"]
    assert [report[name]["classes"] for name in report] == [{"a": 2, "b": 3}, {"a": 1, "b": 0}, {"a": 0, "b": 1}]
    assert cleaned.summary == "2 classes (b 3, a 2), left out: 1 duplicate"


def test_classes_are_the_training_labels_by_name_or_those_that_are_given_in_their_order() -> None:
    assert class_names(corpus([("five", "B c"), ("six", "B c")]), ANY, WORDS) == ("B c", "a", "b")
    assert class_names(corpus([]), of(names=("b", 1, " a ")), WORDS) == ("b", "1", "a")
    for names in (("a",), ("a", "a "), ("a", "")):
        with pytest.raises(ConfigError, match=r"classes\.names must be two names at least, all different"):
            class_names(corpus([]), of(names=names), WORDS)


def test_a_label_that_is_no_class_is_told_with_its_line(tmp_path: Path) -> None:
    rows = [f"{number},{'sport' if number % 2 else 'news'}" for number in range(9)]
    train = csv_of(tmp_path / "x.csv", "text,label", *rows)
    validation = csv_of(tmp_path / "y.csv", "text,label", "v,news", '"two\nlines",news', "w,sprot")
    test = csv_of(tmp_path / "z.csv", "text,label", "t,news", "u,Politics")
    splits = read("labelled", path=train, validation_path=validation, test_path=test)
    message = r"y\.csv line 5 has the label 'sprot', .*1 text of the validation.*news, sport; did you mean sport\?.*"
    with pytest.raises(DataError, match=message):
        clean(splits, ANY)
    cleaned = clean(splits, of(unknown="drop"))
    assert cleaned.splits.tests == {"test": [("t", "news")]}
    assert cleaned.reports["test"].dropped["unknown_label"] == 1


def test_a_class_may_be_left_out_by_naming_the_others() -> None:
    splits = corpus([("five", "c")], test=[("u", "c")])
    with pytest.raises(DataError, match="example 5 of the train split of toy has the label 'c', which is no class"):
        clean(splits, of(names=("a", "b")))
    cleaned = clean(splits, of(names=("b", "a"), unknown="drop"))
    assert [dict(+cleaned.reports[name].dropped) for name in ("train", "test")] == [{"unknown_label": 1}] * 2
    assert cleaned.details["train"]["classes"] == {"b": 2, "a": 2}


def test_one_class_is_too_few() -> None:
    splits = Splits(name="toy", train=[("x", "a")], validation=[("y", "a")], tests={"test": [("z", "a")]})
    with pytest.raises(DataError, match=r"toy have one class only, 'a'; .*two at least: check data\.label_column"):
        clean(splits, ANY)


def test_a_class_with_one_example_is_told_with_its_place() -> None:
    with pytest.raises(DataError, match=r"too few .* to learn 'c' \(1 text, example 5 of the train split of toy\);"):
        clean(corpus([("five", "c"), ("five", "c")]), ANY)
    with pytest.raises(DataError, match=r"too few .* to learn 'c' \(0 texts, nowhere\); give each class two"):
        clean(corpus([]), of(names=("a", "b", "c")))
    many = corpus([(f"text {number}", f"label {number}") for number in range(30)])
    with pytest.raises(DataError, match=r"'label 0' \(1 text, .* and 20 more; give"):
        clean(many, ANY)


def test_labels_that_differ_in_case_or_white_space_alone_are_refused_unless_they_are_given() -> None:
    splits = corpus([("five", "A"), ("six", "A")])
    with pytest.raises(DataError, match=r"alone: 'A' \(2 texts, example 5 .*\) and 'a' \(3 texts, .*classes\.names"):
        clean(splits, ANY)
    assert clean(splits, of(names=("a", "b", "A"))).reports["train"].kept == 6


def test_a_published_corpus_is_cleaned_as_its_flaws_demand(shared_data: Path) -> None:
    cleaned = clean(read("r8", path=str(shared_data / "r8" / "r8.csv")), ANY)
    assert len(class_names(cleaned.splits, ANY, WORDS)) == 8
    reasons = cleaned.reports["train"].dropped
    assert reasons["duplicate"] > 40
    assert reasons["two_labels"] >= 8
    assert reasons["leaked_into_test"] + cleaned.reports["validation"].dropped["leaked_into_test"] == 4
    assert cleaned.reports["test"].kept == 2189
    assert cleaned.details["test"]["flaws"] == {"duplicate": 13}
