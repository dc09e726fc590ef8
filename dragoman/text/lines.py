"""Lines of text files, plain or compressed."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dragoman.errors import DataError


def read_lines(source: str | Path | None) -> Iterator[str]:
    """Read the lines of a UTF-8 file, plain or .gz, or of standard input when None; raises DataError.

    Line feeds alone separate lines: ``str.splitlines`` would also cut at characters that occur inside sentences.
    """
    name = source or "standard input"
    number = 0
    try:
        with _open(source) as file:
            # Bytes, because text files would also be cut at lone carriage returns.
            for number, line in enumerate(file, start=1):
                yield line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").rstrip(b"\r\n").decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "it does not exist" if missing else getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {name}: {reason}; give a UTF-8 text file, plain or .gz") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} line {number} is not UTF-8 (byte 0x{error.object[error.start]:02x} at column {error.start + 1}); "
            "convert the file to UTF-8, for example: iconv -f latin1 -t utf-8 FILE > NEW"
        ) from error


def _open(source: str | Path | None) -> BinaryIO:
    if source is None:
        return sys.stdin.buffer
    return cast(BinaryIO, gzip.open(source, "rb")) if str(source).endswith(".gz") else Path(source).open("rb")
