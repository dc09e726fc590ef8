"""Test sets that a user gives: a held-out set of ours, or files that the task reads."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dragoman.errors import DataError
from scoring.held_out import COLUMNS, SUFFIX, HeldOutError, read_held_out
from train.data.corpus import Example

ReadFiles = Callable[[Sequence[Path], Sequence[str] | None], Sequence[Example]]
"""The reader of a task, ``Task.read_files``."""


def read_test_set(files: Sequence[Path], columns: Sequence[str] | None, read_files: ReadFiles) -> Sequence[Example]:
    """Read one file or two; raises ConfigError or DataError, for a set without items too."""
    if len(files) == 1 and _is_held_out(files[0]):
        try:
            examples: Sequence[Example] = [(item.input, item.reference) for item in read_held_out(files[0])]
        except HeldOutError as error:
            raise DataError(str(error)) from error
    else:
        examples = read_files(files, columns)
    if not examples:
        raise DataError(f"{files[0]} holds no items; give a set with one at least")
    return examples


def _is_held_out(file: Path) -> bool:
    """Tell a held-out set from another table in Parquet by its columns."""
    if file.suffix != SUFFIX:
        return False
    import pyarrow
    from pyarrow import parquet

    try:
        return tuple(parquet.read_schema(file).names) == COLUMNS
    except (OSError, pyarrow.ArrowException):
        return True  # whose reader says what is wrong with the file
