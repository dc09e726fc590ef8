"""Reading text files, plain or gzipped, with errors that name the file and the line."""

import gzip
import zlib
from pathlib import Path

from dragoman.errors import DataError
from train.tasks.translation.pairs import Pair


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file; ``path`` may also stand for ``path.gz``. Raises DataError."""
    data = _read_bytes(_existing(path))
    # Only line feeds separate lines: str.splitlines would also cut at characters that occur inside sentences.
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [_decode(line, path, number) for number, line in enumerate(lines, start=1)]


def read_aligned(source: Path, target: Path) -> list[Pair]:
    """Two files whose lines correspond, as pairs; raises DataError when their lengths differ or they are empty."""
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}; line n of one must translate "
            "line n of the other"
        )
    if not sources:
        raise DataError(f"{source} and {target} are empty; give files with one sentence a line")
    return list(zip(sources, targets, strict=True))


def _existing(path: Path) -> Path:
    zipped = path.with_name(path.name + ".gz")
    if path.is_file() or not zipped.is_file():
        return path
    return zipped


def _read_bytes(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                return file.read()
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give the path of a text file, plain or .gz") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; give a readable text file, plain or .gz") from error


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} line {number} is not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1}); "
            "convert the file to UTF-8"
        ) from error
