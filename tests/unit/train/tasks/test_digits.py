import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from dragoman.errors import OutputError
from dragoman.tasks.image_classification.options import Preprocessing
from tests.conftest import ROOT
from tests.unit.train.tasks.test_image_folder import read
from train.tasks.classification.classes import ClassSettings
from train.tasks.image_classification.cleaning import clean
from train.tasks.image_classification.decoded import DecodedImages
from train.tasks.image_classification.digits import main


def test_every_picture_stands_in_one_split_and_the_test_is_large_enough_for_a_verdict() -> None:
    splits = read("digits")
    train, validation, test = (Counter(label for _, label in examples) for _, examples in splits.items())
    assert (train.total(), validation.total(), test.total()) == (997, 200, 600)
    assert set(test.values()) == {60}
    assert set(validation.values()) == {20}
    everything = {image for _, examples in splits.items() for image, _ in examples}
    assert len(everything) == len(load_digits().images)


def test_the_pictures_are_those_of_scikit_learn_as_ink_on_paper() -> None:
    splits = read("digits")
    images = [image for _, examples in splits.items() for image, _ in examples]
    ink = [(255 - np.asarray(Image.open(io.BytesIO(image))).astype(float)) * 16 / 255 for image in images]
    found = sorted(tuple(picture.round().astype(int).ravel()) for picture in ink)
    assert found == sorted(tuple(picture.astype(int).ravel()) for picture in load_digits().images)


def test_the_same_seed_gives_the_same_splits_and_another_one_others() -> None:
    assert read("digits") == read("digits")
    assert read("digits") != read("digits", seed=1)


def test_nothing_in_them_needs_cleaning() -> None:
    decoded = DecodedImages(Preprocessing(height=8, width=8), max_pixels=64)
    corpus = clean(read("digits"), ClassSettings(names=None, weights="none", unknown="refuse"), decoded)
    assert [report.dropped.total() for report in corpus.reports.values()] == [0, 0, 0]


def test_they_are_written_as_a_folder_of_images_that_is_the_same_corpus(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train.tasks.image_classification.digits", str(tmp_path / "digits")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"1,797 pictures of digits written to {tmp_path / 'digits'}\n"
    folder, digits = read("image_folder", path=str(tmp_path / "digits")), read("digits")
    assert (folder.train, folder.validation, folder.tests) == (digits.train, digits.validation, digits.tests)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["digits", str(tmp_path / "file")])
    with pytest.raises(OutputError, match=r"cannot write to .*file \(.*\); give another folder"):
        main()
