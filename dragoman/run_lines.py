"""Answering a text file line by line, as a batch job: for every task whose inputs are text."""

import gzip
import io
import itertools
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from dragoman import atomic
from dragoman.errors import ConfigError, DataError, DragomanError, InvalidInput
from dragoman.outcomes import Failure
from dragoman.predictor import Predictor, load

# Enough lines for well-filled batches, few enough that output flows and progress moves.
LINES_AT_ONCE = 512


def run_lines(
    bundle: str,
    *,
    source: str | None,
    destination: str | None,
    engine: str,
    device: str,
    parameters: Mapping[str, Any],
    show_progress: bool,
) -> None:
    """Answer ``source`` (standard input when None) to ``destination`` (standard output when None), line by line.

    ``parameters`` are further fields of the request that each line becomes. An output that is one line of text is
    written as it is, any other as JSON; a line without text stays as it is. A line that cannot be answered leaves an
    empty line, is told on standard error, and makes the whole end with InvalidInput once everything else is done. A
    destination file is written whole or not at all. Text is UTF-8, whatever the locale.
    """
    if destination:
        atomic.check_writable(Path(destination))
    predictor = load(bundle, engine=engine, device=device)
    try:
        _check(predictor, parameters)
        output: BinaryIO = io.BytesIO() if destination else sys.stdout.buffer
        failed = _answer_lines(predictor, read_lines(source), output, parameters, show_progress=show_progress)
        if destination:
            assert isinstance(output, io.BytesIO)
            atomic.write_bytes(Path(destination), output.getvalue())
    finally:
        predictor.close()
    if failed:
        raise InvalidInput(f"{failed} lines could not be answered and were left empty; see the messages above")


def read_lines(source: str | None) -> Iterator[str]:
    """Read the lines of a UTF-8 file, plain or .gz, or of standard input when None; raises DataError."""
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


def _check(predictor: Predictor, parameters: Mapping[str, Any]) -> None:
    """Raise ConfigError for parameters that no request may have, before the first line is read."""
    task = predictor.task
    try:
        task.parse({**task.request_of(task.example_item), **parameters})
    except InvalidInput as error:
        raise ConfigError(f"--set: {error}") from error


def _answer_lines(
    predictor: Predictor,
    lines: Iterator[str],
    output: BinaryIO,
    parameters: Mapping[str, Any],
    *,
    show_progress: bool,
) -> int:
    done = failed = 0
    while chunk := list(itertools.islice(lines, LINES_AT_ONCE)):
        prepared = [_prepared(predictor, line, parameters) if line.strip() else None for line in chunk]
        outcomes = iter(
            predictor.run([item for entry in prepared if _is_input(entry) for item in cast(Any, entry).items])
        )
        for number, (line, entry) in enumerate(zip(chunk, prepared, strict=True), start=done + 1):
            if entry is None:
                output.write(f"{line}\n".encode())
                continue
            if not isinstance(entry, Failure):
                entry = predictor.task.assemble(entry, [next(outcomes) for _ in entry.items])
            if isinstance(entry, Failure):
                failed += 1
                print(f"line {number}: {entry.error}", file=sys.stderr)
                output.write(b"\n")
            else:
                output.write(f"{_shown(predictor.task.output(entry.value))}\n".encode())
        output.flush()
        done += len(chunk)
        if show_progress:
            print(f"\r{done} lines", end="", file=sys.stderr, flush=True)
    if show_progress:
        print(file=sys.stderr)
    return failed


def _prepared(predictor: Predictor, line: str, parameters: Mapping[str, Any]) -> Any:
    task = predictor.task
    try:
        (prepared,) = task.parse({**task.request_of(line), **parameters}).inputs
    except DragomanError as error:
        return Failure(error)
    return prepared


def _is_input(entry: Any) -> bool:
    return entry is not None and not isinstance(entry, Failure)


def _shown(output: Any) -> str:
    if isinstance(output, str) and not {"\n", "\r"} & set(output):
        return output
    return json.dumps(output, ensure_ascii=False)
