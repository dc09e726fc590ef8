"""Labelled texts: examples whose input is a text and whose reference is its label; and the tables that hold them."""

from pathlib import Path
from typing import Any

from dragoman.errors import DataError
from train.data.table import Row, TableFile
from train.tasks.classification.tables import LabelledRows, table_file

LabelledText = tuple[str, str]


def read_examples(
    path: Path, text_column: str | tuple[str, ...], label_column: str, *, settings: str
) -> list[LabelledText]:
    """Read a file of labelled texts, such as a test set; raises DataError saying what is wrong and where."""
    rows = labelled_rows(text_column, label_column, settings=settings)
    return [found.example for found in rows.rows(table_file(path))]


def labelled_rows(text_column: str | tuple[str, ...], label_column: str, *, settings: str) -> LabelledRows:
    """Describe the rows; texts of several columns are joined by a blank line, and a text may be empty.

    ``settings`` are those that name the columns, for messages.
    """
    names = (text_column,) if isinstance(text_column, str) else text_column

    def read_text(file: TableFile, row: Row, place: str) -> str:
        parts = [_text(file.cell(row, name, settings=settings), name, place) for name in names]
        return parts[0] if len(parts) == 1 else "\n\n".join(part for part in parts if part.strip())

    return LabelledRows(read_input=read_text, label_column=label_column, settings=settings)


def _text(value: Any, column: str, place: str) -> str:
    if value is not None and not isinstance(value, str):
        raise DataError(f"{place}, column {column!r} must hold text, got {value!r:.60}; set data.text_column")
    return value or ""
