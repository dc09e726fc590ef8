"""Tables of a corpus: CSV, TSV, JSON Lines and Parquet files as rows of named cells.

Every kind may be compressed, and ``path`` may stand for ``path.gz``. CSV follows the csv module, so texts in quotation
marks may hold delimiters and line breaks. TSV knows no quotes: a tab or a line break cannot occur inside a cell.
"""

import csv
import gzip
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dragoman.errors import ConfigError, DataError
from dragoman.text.lines import read_lines

Format = Literal["csv", "tsv", "jsonl", "parquet"]
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# Tried in this order; the one that finds the most columns in the header is taken.
DELIMITERS = ",;\t|"
# The csv module's limit guards against a lost quotation mark, which strict parsing reports; texts may be long.
LARGEST_CELL = 2**31 - 1
# Without a header, the first row of texts stands for the names of columns, and a message would quote all of it.
LONGEST_NAME = 60
# A message names so many columns.
MOST_NAMES = 20
# Rows of Parquet that are turned into Python's objects together.
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Row:
    """A row of a table: its cells by the names of their columns, and its place in the file, such as ``line 17``."""

    place: str
    cells: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """A file with a table; ``delimiter`` is CSV's, found by the header when it is None."""

    path: Path
    format: Format
    delimiter: str | None = None

    def rows(self) -> Iterator[Row]:
        """Read the rows; raises DataError for a file that is missing or broken, with the line."""
        readers = {"csv": self._csv_rows, "tsv": self._tsv_rows, "jsonl": self._jsonl_rows, "parquet": _parquet_rows}
        yield from readers[self.format](self.path)

    def cell(self, row: Row, column: str, *, settings: str) -> Any:
        """Look up a cell, ``a.b`` being ``b`` inside ``a``; raises DataError naming the columns there are.

        ``settings`` are the settings that name the columns.
        """
        value: Any = row.cells
        for key in [column] if column in row.cells else column.split("."):
            if not isinstance(value, Mapping) or key not in value:
                named = self.format in ("csv", "tsv")
                header = ", or give the file a first line that names its columns" if named else ""
                names = [name[:LONGEST_NAME] for name in _columns(row.cells) if name]
                found = ", ".join(names[:MOST_NAMES])
                found += f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                raise DataError(f"{self.path} has no column {column!r}; it has {found}; set {settings}{header}")
            value = value[key]
        return value

    def _csv_rows(self, path: Path) -> Iterator[Row]:
        csv.field_size_limit(LARGEST_CELL)
        lines = (f"{line}\n" for line in read_lines(_existing(path)))
        # The header, and blank lines before it, which count.
        begin: list[str] = []
        for line in lines:
            begin.append(line)
            if line.strip():
                break
        delimiter = self.delimiter or max(
            DELIMITERS, key=lambda sign: len(next(csv.reader(begin[-1:], delimiter=sign), []))
        )
        records = csv.reader(itertools.chain(begin, lines), delimiter=delimiter, strict=True)
        header: list[str] = []
        while True:
            # A record may take several lines, and begins after the end of the one before it.
            place = f"line {records.line_num + 1}"
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{path} {place} is no CSV ({error}); a text with quotation marks, delimiters or line breaks "
                    'stands in quotation marks, and each one inside it is doubled: "a ""quoted"" word"'
                ) from error
            if not any(map(str.strip, cells)):
                continue  # spreadsheets leave such rows behind
            if not header:
                header = [name.strip() for name in cells]
                # Spreadsheets leave columns without a name behind, too.
                if twice := sorted({name for name in header if name and header.count(name) > 1}):
                    raise DataError(f"{path} {place} names the column {twice[0]!r} twice; give each its own name")
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path} {place} has {len(cells)} columns, the header has {len(header)} (between {delimiter!r}); "
                    "put texts that hold a delimiter or a line break in quotation marks, or set data.delimiter"
                )
            yield Row(place, dict(zip(header, cells, strict=True)))

    def _tsv_rows(self, path: Path) -> Iterator[Row]:
        # No quoting rules: a quotation mark at the start of a sentence is text.
        lines = lines_of(path)
        header = lines[0].split("\t") if lines else []
        for number, line in enumerate(lines[1:], start=2):
            cells = line.split("\t")
            if len(cells) != len(header):
                raise DataError(
                    f"{path} line {number} has {len(cells)} columns, the header has {len(header)}; delete the line "
                    "if it is blank, and write tabs and line breaks inside a text as spaces"
                )
            yield Row(f"line {number}", dict(zip(header, cells, strict=True)))

    def _jsonl_rows(self, path: Path) -> Iterator[Row]:
        for number, line in enumerate(lines_of(path), start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path} line {number} is not JSON ({error}); give one object a line") from error
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number} must be a JSON object, got {line[:40]!r}")
            yield Row(f"line {number}", row)


def format_of(path: str | Path, *, setting: str) -> Format:
    """Tell the format of a table by the ending of its file's name; raises ConfigError for another."""
    ending = Path(str(path).lower().removesuffix(".gz")).suffix
    if ending not in ENDINGS:
        raise ConfigError(
            f"{path} does not show its format: its name ends in {ending or 'nothing'!r}, not in "
            f"{', '.join(ENDINGS)} (or that with .gz); set {setting}"
        )
    return ENDINGS[ending]


def lines_of(path: Path) -> list[str]:
    """Read the lines of a text file; ``path`` may also stand for ``path.gz``. Raises DataError."""
    return list(read_lines(_existing(path)))


def _existing(path: Path) -> Path:
    zipped = path.with_name(path.name + ".gz")
    return zipped if zipped.is_file() and not path.is_file() else path


def _columns(cells: Mapping[str, Any], where: str = "") -> list[str]:
    names = []
    for key, value in cells.items():
        names += _columns(value, f"{where}{key}.") if isinstance(value, Mapping) else [f"{where}{key}"]
    return names


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    path = _existing(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give the path of a Parquet file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            number = 0
            # Part by part: cells may hold whole files, and there would be two copies of all of them.
            for batch in pyarrow.parquet.ParquetFile(file, pre_buffer=False).iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number}", row)
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"cannot read {path} as Parquet: {reason}") from error
