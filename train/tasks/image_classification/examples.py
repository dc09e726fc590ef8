"""Test sets of labelled images that a user gives: a table, a folder or an archive."""

from collections.abc import Sequence
from pathlib import Path

from dragoman.errors import ConfigError, DataError
from train.tasks.image_classification.sources.image_files import ARCHIVES
from train.tasks.image_classification.sources.image_folder import LabelledImage, read_folder
from train.tasks.image_classification.sources.image_table import read_image_table


def read_examples(files: Sequence[Path], columns: Sequence[str] | None = None) -> list[LabelledImage]:
    """Read a test set; of a folder or an archive with splits, its test split. Raises ConfigError or DataError.

    ``columns`` are those of image and label in a table, by default ``image`` and ``label``.
    """
    if len(files) != 1:
        raise ConfigError(f"give a test set of one table, folder or archive; got {files[1]} as well")
    path = files[0]
    if not path.suffix and not path.exists():
        raise DataError(f"{path} does not exist; give a table, a folder or an archive of images")
    if not path.is_dir() and not path.name.lower().endswith(ARCHIVES):
        image_column, label_column = columns or ("image", "label")
        return read_image_table(path, image_column, label_column, settings="columns, INPUT and REFERENCE")
    splits = read_folder(path).splits
    if "test" in splits:
        return splits["test"]
    if splits.keys() != {"train"}:
        raise DataError(f"{path} has folders for {' and '.join(splits)} and none for the test; name one of them test")
    # Without any splits, all of it is the test set; beside a folder for training it would be forgotten.
    return splits["train"]
