"""TSV, JSON Lines and Parquet files, by their column names."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dragoman.errors import DataError
from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits
from train.data.folder import find_data
from train.tasks.translation.pairs import Pair, lines_of, with_held_out


@dataclass(frozen=True, kw_only=True)
class Table:
    """The file and its columns; without files for validation or test, sentences of the training file are held out."""

    kind: Literal["table"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    format: Annotated[Literal["tsv", "jsonl", "parquet"], Setting("format of the files")]
    path: Annotated[str, Setting("the training file")]
    validation_path: Annotated[str | None, Setting("the validation file; null holds out")]
    test_path: Annotated[str | None, Setting("the test file; null holds out")]
    source_column: Annotated[str, Setting("column of the source text; a.b looks for b inside a")]
    target_column: Annotated[str, Setting("column of the target text")]
    validation_size: Annotated[int, Setting("sentences held out for validation, at most a tenth", minimum=1)]
    test_size: Annotated[int, Setting("sentences held out for the test, at most a tenth", minimum=1)]
    seed: Annotated[int, Setting("seed of the hold-out", minimum=0)]

    def read(self, languages: Languages) -> Splits:
        """Read the files."""
        return with_held_out(
            self.name,
            self._pairs("path", self.path),
            None if self.validation_path is None else self._pairs("validation_path", self.validation_path),
            None if self.test_path is None else self._pairs("test_path", self.test_path),
            validation_size=self.validation_size,
            test_size=self.test_size,
            seed=self.seed,
        )

    def _pairs(self, setting: str, path: str) -> Sequence[Pair]:
        readers = {"tsv": _tsv_rows, "jsonl": _jsonl_rows, "parquet": _parquet_rows}
        rows = readers[self.format](find_data(path, setting=f"data.{setting}"))
        pairs = [
            (self._cell(row, self.source_column, path, number), self._cell(row, self.target_column, path, number))
            for number, row in enumerate(rows, start=1)
        ]
        if not pairs:
            raise DataError(f"{path} has no rows; give a file with at least one pair")
        return pairs

    def _cell(self, row: Mapping[str, Any], column: str, path: str, number: int) -> str:
        value: Any = row
        for key in [column] if column in row else column.split("."):
            if not isinstance(value, Mapping) or key not in value:
                header = ", or give the file a first line that names its columns" if self.format == "tsv" else ""
                raise DataError(
                    f"{path} has no column {column!r}; it has {', '.join(_columns(row))}; "
                    f"set data.source_column and data.target_column{header}"
                )
            value = value[key]
        if value is not None and not isinstance(value, str):
            raise DataError(f"{path} row {number}, column {column!r} must hold text, got {value!r}")
        return value or ""


def _columns(row: Mapping[str, Any], where: str = "") -> list[str]:
    names = []
    for key, value in row.items():
        names += _columns(value, f"{where}{key}.") if isinstance(value, Mapping) else [f"{where}{key}"]
    return names


def _tsv_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    # No quoting rules: a quotation mark at the start of a sentence is text, and tabs cannot occur inside a cell.
    lines = lines_of(path)
    header = lines[0].split("\t") if lines else []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise DataError(f"{path} line {number} has {len(cells)} columns, the header has {len(header)}")
        yield dict(zip(header, cells, strict=True))


def _jsonl_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(lines_of(path), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path} line {number} is not JSON ({error}); give one object a line") from error
        if not isinstance(row, dict):
            raise DataError(f"{path} line {number} must be a JSON object, got {line[:40]!r}")
        yield row


def _parquet_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    if not path.exists():
        raise DataError(f"{path} does not exist; give the path of a Parquet file")
    try:
        rows: list[Mapping[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"cannot read {path} as Parquet: {reason}") from error
    return rows
