"""TSV, JSON Lines and Parquet files, by their column names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.errors import DataError
from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits, with_held_out
from train.data.folder import find_data
from train.data.table import Row, TableFile
from train.tasks.translation.pairs import Pair


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
        file = TableFile(path=find_data(path, setting=f"data.{setting}"), format=self.format)
        columns = (self.source_column, self.target_column)
        return read_pairs(file, columns, settings="data.source_column and data.target_column")


def read_pairs(file: TableFile, columns: Sequence[str], *, settings: str) -> list[Pair]:
    """Read the columns of source and target; raises DataError. ``settings`` are those that name the columns."""

    def text(row: Row, column: str, number: int) -> str:
        value = file.cell(row, column, settings=settings)
        if value is not None and not isinstance(value, str):
            raise DataError(f"{file.path} row {number}, column {column!r} must hold text, got {value!r}")
        return value or ""

    source, target = columns
    pairs = [(text(row, source, number), text(row, target, number)) for number, row in enumerate(file.rows(), start=1)]
    if not pairs:
        raise DataError(f"{file.path} has no rows; give a file with at least one pair")
    return pairs
