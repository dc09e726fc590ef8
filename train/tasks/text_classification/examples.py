"""Labelled texts: examples whose input is a text and whose reference is its label; and the tables that hold them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dragoman.errors import ConfigError, DataError
from train.data.table import Format, Row, TableFile, format_of

LabelledText = tuple[str, str]
# Signs that a shell or a YAML file makes hard to write.
SPELLED_OUT = {"\\t": "\t", "tab": "\t"}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The format of a table of labelled texts, and where its texts and labels stand."""

    format: Format | Literal["auto"] = "auto"
    delimiter: str | None = None
    text_column: str | tuple[str, ...] = "text"
    label_column: str = "label"
    settings: str = "data.text_column and data.label_column"
    """The settings that name the columns, for messages."""


@dataclass(frozen=True)
class TableRow:
    """A labelled text with its row: the place is for messages, the cells for further columns."""

    example: LabelledText
    place: str
    row: Row


def read_examples(path: Path, columns: Columns | None = None) -> list[LabelledText]:
    """Read a file of labelled texts, such as a test set; raises DataError saying what is wrong and where."""
    return [found.example for found in table_rows(table_file(path, columns or Columns()), columns or Columns())]


def table_file(path: Path, columns: Columns) -> TableFile:
    """Describe a table; raises ConfigError for a format that cannot be told or a delimiter that is no sign."""
    delimiter = SPELLED_OUT.get(columns.delimiter or "", columns.delimiter)
    if delimiter is not None and len(delimiter) != 1:
        raise ConfigError(f"data.delimiter must be one sign, such as ';', or tab, got {columns.delimiter!r}")
    kind = format_of(path, setting="data.format") if columns.format == "auto" else columns.format
    return TableFile(path=path, format=kind, delimiter=delimiter)


def table_rows(file: TableFile, columns: Columns) -> Iterator[TableRow]:
    """Read the rows of a table; texts of several columns are joined by a blank line, labels lose outer white space.

    A text may be empty, a label may not. Raises DataError, for a table without rows too.
    """
    empty = True
    names = (columns.text_column,) if isinstance(columns.text_column, str) else columns.text_column
    for row in file.rows():
        empty = False
        place = f"{file.path} {row.place}"
        parts = [_text(file.cell(row, name, settings=columns.settings), name, place) for name in names]
        text = parts[0] if len(parts) == 1 else "\n\n".join(part for part in parts if part.strip())
        label = label_text(file.cell(row, columns.label_column, settings=columns.settings), columns.label_column, place)
        yield TableRow((text, label), place, row)
    if empty:
        raise DataError(f"{file.path} has no rows; give a file with at least one labelled text")


def label_text(value: Any, column: str, place: str) -> str:
    """Return a label as text, numbers included; raises DataError for an empty one and for anything else."""
    if isinstance(value, str | int | float) and not (isinstance(value, float) and math.isnan(value)):
        if label := str(value).strip():
            return label
    elif value is not None and not isinstance(value, float):
        raise DataError(f"{place}, column {column!r} must hold a label (text or a number), got {value!r:.60}")
    raise DataError(f"{place} has no label in column {column!r}; give every text one, or delete the row")


def _text(value: Any, column: str, place: str) -> str:
    if value is not None and not isinstance(value, str):
        raise DataError(f"{place}, column {column!r} must hold text, got {value!r:.60}; set data.text_column")
    return value or ""
