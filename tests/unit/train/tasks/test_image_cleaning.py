import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import DataError
from dragoman.tasks.image_classification.options import Preprocessing
from tests.toy_images import COLOURS, image_of, toy_files, write_files
from tests.unit.train.tasks.test_decoded_images import stored_again
from tests.unit.train.tasks.test_image_folder import read
from train.data.corpus import CleanCorpus, Splits
from train.tasks.classification.classes import ClassSettings
from train.tasks.image_classification.cleaning import clean
from train.tasks.image_classification.decoded import DecodedImages

ANY = ClassSettings(names=None, weights="none", unknown="refuse")
Labelled = Sequence[tuple[bytes, str]]
A, B, C, D, E = (image_of(COLOURS["red"], number) for number in range(5))


def cleaned(splits: Splits, classes: ClassSettings = ANY) -> CleanCorpus:
    return clean(splits, classes, DecodedImages(Preprocessing(height=8, width=8), max_pixels=10_000))


def corpus(train: Labelled, validation: Labelled = (), test: Labelled = ()) -> Splits:
    """Splits with the given examples beside two of each of the classes blue and green."""
    images = {label: [image_of(COLOURS[label], number) for number in range(4)] for label in ("blue", "green")}
    base = [(images[label][number], label) for label in images for number in (0, 1)]
    held = [[(images[label][number], label) for label in images] for number in (2, 3)]
    return Splits(
        name="toy", train=[*base, *train], validation=[*held[0], *validation], tests={"test": [*held[1], *test]}
    )


def dropped(splits: Splits, split: str = "train") -> dict[str, int]:
    return dict(+cleaned(splits).reports[split].dropped)


def test_a_training_image_that_stands_in_a_held_out_set_is_left_out_also_when_it_was_stored_again() -> None:
    splits = corpus(
        [(stored_again(A, compress_level=0), "blue"), (B, "green"), (C, "blue")],
        validation=[(stored_again(B, compress_level=0), "blue"), (D, "blue")],
        test=[(A, "blue"), (D, "green")],
    )
    assert dropped(splits) == {"leaked_into_test": 1, "leaked_into_validation": 1}
    assert dropped(splits, "validation") == {"leaked_into_test": 1}
    assert cleaned(splits).splits.train[4:] == [(C, "blue")]


def test_the_same_picture_counts_once_and_with_two_labels_not_at_all() -> None:
    again = stored_again(A, compress_level=0)
    assert dropped(corpus([(A, "blue"), (again, "blue"), (A, "blue")])) == {"duplicate": 2}
    assert dropped(corpus([(A, "blue"), (again, "green"), (B, "green")])) == {"two_labels": 2}


def test_files_that_cannot_be_decoded_are_left_out_of_every_split_under_their_reason() -> None:
    broken = [(A[:-30], "blue"), (b"text", "green"), (image_of((0, 0, 0), 1, size=101), "blue")]
    splits = corpus([*broken, (A, "blue")], validation=broken[:1], test=broken[1:])
    found = cleaned(splits)
    reasons = {"damaged_image": 1, "unsupported_image": 1, "image_too_large": 1}
    assert [dict(+report.dropped) for report in found.reports.values()] == [
        reasons,
        {"damaged_image": 1},
        {"unsupported_image": 1, "image_too_large": 1},
    ]
    assert found.summary.endswith("; 40% of all images cannot be decoded, corpus.json of the run names some")


def test_a_few_broken_files_are_counted_without_alarm() -> None:
    many = [(image_of(COLOURS["red"], number), "blue") for number in range(30)]
    found = cleaned(corpus([*many, (A[:-30], "blue")]))
    assert found.summary == "2 classes (blue 32, green 2), left out: 1 damaged image"


def test_a_test_set_keeps_its_duplicates_and_their_number_is_told() -> None:
    again = stored_again(B, compress_level=0)
    found = cleaned(corpus([], test=[(A, "blue"), (A, "blue"), (B, "blue"), (again, "green")]))
    assert found.reports["test"].kept == 6
    assert found.details["test"]["flaws"] == {"duplicate": 1, "two_labels": 2}


def test_the_report_shows_where_some_of_the_images_stand(tmp_path: Path) -> None:
    files = toy_files(3)
    named = {f"{split}/{name}": data for split in ("train", "val", "test") for name, data in files.items()}
    others = {
        "train/red/copy.png": files["red/000.png"],
        "train/red/png.png": stored_again(files["red/000.png"], compress_level=0),
        "train/red/cut.png": files["red/000.png"][:-30],
    }
    fresh = {f"train/{label}/x.png": image_of(COLOURS[label], 99) for label in COLOURS}
    fresh |= {f"val/{label}/x.png": image_of(COLOURS[label], 98) for label in COLOURS}
    folder = write_files(tmp_path / "x", {**named, **others, **fresh, "x.txt": b""})
    report: Any = json.loads(json.dumps(cleaned(read("image_folder", path=str(folder))).as_dict()))
    assert report["ignored_files"] == {".txt": 1}
    train = report["splits"]["train"]
    assert train["dropped"] == {"damaged_image": 1, "duplicate": 2, "leaked_into_test": 9}
    assert train["places"]["damaged_image"] == [f"{folder}/train/red/cut.png"]
    same = f"{folder}/test/red/000.png, also {folder}/train/red/000.png"
    assert train["places"]["duplicate"] == [same, f"{folder}/train/red/png.png, the same as {same}"]
    assert len(train["places"]["leaked_into_test"]) == 9
    assert report["splits"]["validation"]["dropped"] == {"leaked_into_test": 9}
    assert "places" not in report["splits"]["test"]


def test_of_many_images_the_report_shows_the_first_twenty() -> None:
    copies = [(image_of(COLOURS["red"], number), "blue") for number in range(25)]
    found: Any = cleaned(corpus([*copies, *copies])).details["train"]
    assert len(found["places"]["duplicate"]) == 20
    place = "example {} of the train split of toy"
    assert found["places"]["duplicate"][0] == f"{place.format(30)}, the same as {place.format(5)}"


def test_numbers_of_classes_get_the_names_that_are_given() -> None:
    numbered = corpus([])
    rows = {"blue": "1", "green": "0"}
    splits = dataclasses.replace(
        numbered,
        train=[(image, rows[label]) for image, label in numbered.train],
        validation=[(image, rows[label]) for image, label in numbered.validation],
        tests={"test": [(image, rows[label]) for image, label in numbered.tests["test"]]},
    )
    classes = dataclasses.replace(ANY, names=("green", "blue"))
    assert cleaned(splits, classes).splits == numbered
    assert cleaned(splits).details["train"]["classes"] == {"0": 2, "1": 2}
    with pytest.raises(DataError, match=r"has the label '1', which is no class \(4 images of the train"):
        cleaned(dataclasses.replace(splits, tests={"test": [(A, "2")]}), classes)


def test_a_class_with_one_image_and_a_label_that_is_none_are_told_with_their_place() -> None:
    with pytest.raises(DataError, match=r"too few different images to learn 'red' \(1 image, example 5 of the train"):
        cleaned(corpus([(A, "red")]))
    with pytest.raises(DataError, match=r"the label 'green', which is no class .*to the training images, or set"):
        cleaned(corpus([]), dataclasses.replace(ANY, names=("blue", "red")))
