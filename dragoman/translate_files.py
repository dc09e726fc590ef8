"""Translating a text file line by line, as a batch job."""

import dataclasses
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from dragoman import atomic
from dragoman.errors import ConfigError, DataError, InvalidInput
from dragoman.predictor import Predictor, Result, load
from dragoman.tasks.translation_request import TranslationItem

# Enough lines for well-filled batches, few enough that output flows and progress moves.
LINES_AT_ONCE = 512


def translate_files(
    bundle: str,
    *,
    source: str | None,
    destination: str | None,
    engine: str,
    device: str,
    num_beams: int | None,
    show_progress: bool,
) -> None:
    """Translate ``source`` (standard input when None) to ``destination`` (standard output when None), line by line.

    A line may hold several sentences; one without text stays as it is. A line that cannot be translated leaves an
    empty line, is told on standard error, and makes the whole end with InvalidInput once everything else is done. A
    destination file is written whole or not at all.
    """
    if destination:
        atomic.check_writable(Path(destination))
    predictor = load(bundle, engine=engine, device=device)
    try:
        lines = read_lines(source)
        output: TextIO = io.StringIO() if destination else sys.stdout
        failed = _translate_lines(predictor, lines, output, num_beams=num_beams, show_progress=show_progress)
        if destination:
            assert isinstance(output, io.StringIO)
            atomic.write_text(Path(destination), output.getvalue())
    finally:
        predictor.close()
    if failed:
        raise InvalidInput(f"{failed} lines could not be translated and were left empty; see the messages above")


def read_lines(source: str | None) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or .gz, or of standard input when None; raises DataError."""
    number = 0
    try:
        with _open(source) as file:
            # Bytes, because text files would also be cut at lone carriage returns.
            for number, line in enumerate(file, start=1):
                yield line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").rstrip(b"\r\n").decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {source}: {reason}; give a UTF-8 text file, plain or .gz") from error
    except UnicodeDecodeError as error:
        name = source or "standard input"
        raise DataError(f"line {number} of {name} is not UTF-8 ({error.reason}); convert it first") from error


def _open(source: str | None) -> BinaryIO:
    if source is None:
        return sys.stdin.buffer
    return cast(BinaryIO, gzip.open(source, "rb")) if source.endswith(".gz") else Path(source).open("rb")


def _translate_lines(
    predictor: Predictor, lines: Iterator[str], output: TextIO, *, num_beams: int | None, show_progress: bool
) -> int:
    manifest = predictor.bundle.manifest
    decoding = manifest.decoding
    if num_beams is not None:
        if not 1 <= num_beams <= manifest.limits.max_beams:
            raise ConfigError(f"--num-beams must be from 1 to {manifest.limits.max_beams}, got {num_beams}")
        decoding = dataclasses.replace(decoding, num_beams=num_beams)
    done = failed = 0
    while chunk := list(itertools.islice(lines, LINES_AT_ONCE)):
        filled = [index for index, line in enumerate(chunk) if line.strip()]
        answers = predictor([TranslationItem(text=chunk[index], decoding=decoding) for index in filled])
        translated = ["" if line.strip() else line for line in chunk]
        for index, answer in zip(filled, answers, strict=True):
            if isinstance(answer, Result):
                translated[index] = answer.value.text
            else:
                failed += 1
                print(f"line {done + index + 1}: {answer.error}", file=sys.stderr)
        output.writelines(f"{line}\n" for line in translated)
        output.flush()
        done += len(chunk)
        if show_progress:
            print(f"\r{done} lines", end="", file=sys.stderr, flush=True)
    if show_progress:
        print(file=sys.stderr)
    return failed
