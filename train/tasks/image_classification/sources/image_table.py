"""Tables of images of the user's own: paths and labels in CSV, TSV or JSON Lines, or Parquet with the files inside."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dragoman.errors import DataError
from dragoman.strict import Setting
from train.data.corpus import Splits
from train.data.folder import find_data
from train.data.memory import require_memory
from train.data.table import Row, TableFile
from train.run.progress import Tell, silent
from train.tasks.classification.tables import AnyFormat, LabelledRows, read_tables, table_file

# The number of rows is not known before the end of a table.
TOLD_EVERY = 10_000
# Bytes of images for which memory is asked for in advance.
ROOM = 2**28


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The files and their columns; without files or rows for validation or test, training images are held out.

    Hold-outs are stratified: every class has its share of each.
    """

    kind: Literal["image_table"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[str, Setting("the training table, found in DRAGOMAN_DATA, in data/ or from here")]
    format: Annotated[
        AnyFormat,
        Setting("format of the tables; auto goes by the ending of each name; tsv knows no quotation marks, csv does"),
    ]
    delimiter: Annotated[str | None, Setting("delimiter of CSV, one sign or tab; null finds it by the header")]
    image_column: Annotated[
        str, Setting("column of the image: its path, in Parquet also its bytes or Hugging Face's bytes and path")
    ]
    images: Annotated[str | None, Setting("the folder that paths start from; null takes that of the table")]
    label_column: Annotated[
        str, Setting("column of the label; numbers of classes get the names of classes.names, or of the Parquet file")
    ]
    split_column: Annotated[
        str | None, Setting("column that says train, validation or test; null, where all rows are for training")
    ]
    validation_path: Annotated[str | None, Setting("the validation table; null holds out")]
    test_path: Annotated[str | None, Setting("the test table; null holds out")]
    validation_size: Annotated[int, Setting("images held out for validation, at most a tenth", minimum=1)]
    test_size: Annotated[int, Setting("images held out for the test, at most a tenth", minimum=1)]
    seed: Annotated[int, Setting("seed of the hold-out", minimum=0)]

    def read(self, tell: Tell = silent) -> Splits:
        """Read tables and images; raises DataError, and ConfigError for settings that contradict each other."""
        rows = image_rows(
            self.image_column,
            self.label_column,
            settings="data.image_column and data.label_column",
            images=None if self.images is None else find_data(self.images, setting="data.images"),
            tell=tell,
        )
        return read_tables(self, rows)


def read_image_table(path: Path, image_column: str, label_column: str, *, settings: str) -> list[tuple[bytes, str]]:
    """Read a table of labelled images, such as a test set; raises DataError saying what is wrong and where."""
    rows = image_rows(image_column, label_column, settings=settings)
    return [found.example for found in rows.rows(table_file(path))]


def image_rows(
    image_column: str, label_column: str, *, settings: str, images: Path | None = None, tell: Tell = silent
) -> LabelledRows:
    """Describe the rows; ``settings`` are those that name the columns, for messages."""
    read = held = asked = 0

    def read_image(file: TableFile, row: Row, place: str) -> bytes:
        nonlocal read, held, asked
        if read % TOLD_EVERY == 0:
            tell(f"reading the images of {file.path.name}" + (f", {read:,} so far" if read else ""), 0.0)
        read += 1
        # How many there are is not known before the end, so room is asked for part by part.
        if held >= asked:
            asked += ROOM
            require_memory(
                ROOM,
                f"after {held / 1e9:.1f} GB, further images of {file.path}",
                instead="give fewer or smaller ones, or take a machine with more memory",
            )
        image = _image(file.cell(row, image_column, settings=settings), images or file.path.parent, image_column, place)
        held += len(image)
        return image

    return LabelledRows(
        read_input=read_image, label_column=label_column, settings=settings, item="image", names_of=_class_labels
    )


def _image(cell: Any, folder: Path, column: str, place: str) -> bytes:
    """Read the image of a cell; paths stay inside the folder, so that a table names no other file of the machine."""
    if isinstance(cell, Mapping):
        cell = cell["bytes"] if cell.get("bytes") is not None else cell.get("path")
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str) or not cell.strip():
        raise DataError(
            f"{place}, column {column!r} must hold the path of an image or its bytes, got {cell!r:.60}; set "
            "data.image_column"
        )
    path = Path(os.path.normpath(folder / cell.strip()))
    if not path.is_relative_to(os.path.normpath(folder)):
        raise DataError(
            f"{place}: {cell} leads out of {folder}; write paths that start there, or set data.images to a folder that "
            "holds all the images"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{place}: cannot read the image {path} ({error.strerror}); correct the path, or set data.images to the "
            "folder that paths start from"
        ) from error


def _class_labels(file: TableFile, column: str) -> tuple[str, ...] | None:
    """Return the names of class numbers that a Parquet file of Hugging Face's ``datasets`` holds, None without them."""
    if file.format != "parquet" or file.path.suffix == ".gz":
        return None
    from pyarrow import parquet

    try:
        features = json.loads((parquet.read_schema(file.path).metadata or {}).get(b"huggingface", b"{}"))
        names = features["info"]["features"][column]["names"]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # no such file, of which the reader of its rows speaks, or one without names
    return tuple(map(str, names))
