"""Tables of labelled inputs: CSV, TSV, JSON Lines or Parquet, with a column of labels and maybe one of splits."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from dragoman.errors import ConfigError, DataError
from train.data.corpus import Example, Splits, with_held_out
from train.data.folder import find_data
from train.data.table import Row, TableFile, format_of

AnyFormat = Literal["auto", "csv", "tsv", "jsonl", "parquet"]
# Signs that a shell or a YAML file makes hard to write.
SPELLED_OUT = {"\\t": "\t", "tab": "\t"}
# What split columns and folders call the splits, in lower case.
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# Between the two places of one example.
ALSO = ", also "

ReadInput = Callable[[TableFile, Row, str], Any]
"""The reader of the input of a row, which may raise DataError; its last argument is the place for messages."""
NamesOf = Callable[[TableFile, str], Sequence[str] | None]
"""The reader of the names of class numbers that a file holds for a column of labels, None where it has none."""


class TableSettings(Protocol):
    """The settings of a corpus of tables, whatever its inputs are."""

    @property
    def name(self) -> str:
        """The name of the corpus in scores."""

    @property
    def path(self) -> str:
        """The training file."""

    @property
    def format(self) -> AnyFormat:
        """The format of the files."""

    @property
    def delimiter(self) -> str | None:
        """The delimiter of CSV."""

    @property
    def label_column(self) -> str:
        """The column of labels."""

    @property
    def split_column(self) -> str | None:
        """The column that says the split."""

    @property
    def validation_path(self) -> str | None:
        """The validation file."""

    @property
    def test_path(self) -> str | None:
        """The test file."""

    @property
    def validation_size(self) -> int:
        """Examples held out for validation."""

    @property
    def test_size(self) -> int:
        """Examples held out for the test."""

    @property
    def seed(self) -> int:
        """The seed of the hold-out."""


@dataclass(frozen=True)
class TableRow:
    """A labelled input with its row: the place is for messages, the cells for further columns."""

    example: Example
    place: str
    row: Row


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """A way to read labelled inputs from the rows of a table."""

    read_input: ReadInput
    label_column: str = "label"
    settings: str = "data.label_column"
    """The settings that name the columns, for messages."""
    item: str = "text"
    """An input in the singular, for messages."""
    names_of: NamesOf | None = None
    """A reader of the names of numbered classes, where files may hold them."""

    def rows(self, file: TableFile) -> Iterator[TableRow]:
        """Read the rows of a table; raises DataError, for a table without rows too."""
        empty, names = True, self.names_of(file, self.label_column) if self.names_of else None
        for row in file.rows():
            empty = False
            place = f"{file.path} {row.place}"
            value = self.read_input(file, row, place)
            label = file.cell(row, self.label_column, settings=self.settings)
            if names is not None and isinstance(label, int) and 0 <= label < len(names):
                label = names[label]
            yield TableRow((value, self.label(label, place)), place, row)
        if empty:
            raise DataError(f"{file.path} has no rows; give a file with at least one labelled {self.item}")

    def label(self, value: Any, place: str) -> str:
        """Return a label as text without outer white space, numbers included; raises DataError for anything else."""
        column = self.label_column
        if isinstance(value, str | int | float) and not (isinstance(value, float) and math.isnan(value)):
            if label := str(value).strip():
                return label
        elif value is not None and not isinstance(value, float):
            raise DataError(f"{place}, column {column!r} must hold a label (text or a number), got {value!r:.60}")
        raise DataError(f"{place} has no label in column {column!r}; give every {self.item} one, or delete the row")


def table_file(path: Path, table_format: AnyFormat = "auto", delimiter: str | None = None) -> TableFile:
    """Describe a table; raises ConfigError for a format that cannot be told or a delimiter that is no sign."""
    sign = SPELLED_OUT.get(delimiter or "", delimiter)
    if sign is not None and len(sign) != 1:
        raise ConfigError(f"data.delimiter must be one sign, such as ';', or tab, got {delimiter!r}")
    kind = format_of(path, setting="data.format") if table_format == "auto" else table_format
    return TableFile(path=path, format=kind, delimiter=sign)


def read_tables(settings: TableSettings, rows: LabelledRows) -> Splits:
    """Read the files; raises DataError, and ConfigError for settings that contradict each other.

    Without files or rows for validation or test, training examples are held out, of every class its share.
    """
    if settings.split_column is not None and (settings.validation_path, settings.test_path) != (None, None):
        raise ConfigError(
            "data.split_column says where each row of data.path belongs, so data.validation_path and "
            "data.test_path must be null; leave out one or the other"
        )
    places: dict[Example, str] = {}

    def read(setting: str, path: str, split_column: str | None = None) -> dict[str, list[Example]]:
        file = table_file(find_data(path, setting=f"data.{setting}"), settings.format, settings.delimiter)
        found: dict[str, list[Example]] = {}
        for each in rows.rows(file):
            split = "train" if split_column is None else _split(file, each, split_column)
            found.setdefault(split, []).append(each.example)
            note_place(places, each.example, each.place)
        return found

    splits = read("path", settings.path, settings.split_column)
    for setting, split in (("validation_path", "validation"), ("test_path", "test")):
        if (path := getattr(settings, setting)) is not None:
            splits[split] = read(setting, path)["train"]
    if "train" not in splits:
        raise DataError(f"{settings.path} has no row for training: column {settings.split_column!r} never says train")
    whole = with_held_out(
        settings.name,
        splits["train"],
        splits.get("validation"),
        splits.get("test"),
        validation_size=settings.validation_size,
        test_size=settings.test_size,
        seed=settings.seed,
        stratified=True,
    )
    return dataclasses.replace(whole, places=places)


def note_place(places: dict[Example, str], example: Example, place: str) -> None:
    """Note where an example stands; one that stands in two places or more has the first two."""
    known = places.get(example)
    if known is None or ALSO not in known:
        places[example] = place if known is None else f"{known}{ALSO}{place}"


def _split(file: TableFile, found: TableRow, column: str) -> str:
    value = file.cell(found.row, column, settings="data.split_column")
    split = SPLITS.get(str(value).strip().lower(), "")
    if not split:
        raise DataError(f"{found.place}, column {column!r} must say one of {', '.join(SPLITS)}, got {value!r}")
    return split
