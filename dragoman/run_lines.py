"""Answering a text file line by line, as a batch job: for every task whose inputs are text."""

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from dragoman.atomic import check_writable
from dragoman.atomic import file as new_file
from dragoman.errors import ConfigError, DragomanError, InferenceError, InvalidInput
from dragoman.items.outcomes import Failure
from dragoman.predictor import Predictor, load
from dragoman.text.lines import read_lines

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
    empty line, is told on standard error, and makes the whole end with InvalidInput once everything else is done, or
    with InferenceError where it was the engine that failed. An engine that fails again and again ends it at once. A
    destination file is written whole or not at all. Text is UTF-8, whatever the locale.
    """
    if destination:
        check_writable(Path(destination))
    predictor = load(bundle, engine=engine, device=device)
    try:
        _check(predictor, parameters)
        with new_file(Path(destination)) if destination else contextlib.nullcontext(sys.stdout.buffer) as output:
            tally = _answer_lines(predictor, read_lines(source), output, parameters, show_progress=show_progress)
    finally:
        predictor.close()
    if tally.failed:
        kind = InferenceError if tally.engine_failed else InvalidInput
        raise kind(f"{tally.failed} lines could not be answered and were left empty; see the messages above")


@dataclass
class Tally:
    """How far a run has come, and what could not be answered."""

    lines: int = 0
    failed: int = 0
    engine_failed: bool = False

    def note(self, error: DragomanError) -> None:
        """Count a line that cannot be answered."""
        self.failed += 1
        self.engine_failed = self.engine_failed or not isinstance(error, InvalidInput)


def _check(predictor: Predictor, parameters: Mapping[str, Any]) -> None:
    """Raise ConfigError for parameters that no request may have, before the first line is read."""
    task = predictor.task
    if task.input_field in parameters:
        raise ConfigError(f"--set: {task.input_field} is the line itself; give other fields of a request")
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
) -> Tally:
    tally = Tally()
    while chunk := list(itertools.islice(lines, LINES_AT_ONCE)):
        prepared = [_prepared(predictor, line, parameters) if line.strip() else None for line in chunk]
        outcomes = iter(
            predictor.run([item for entry in prepared if _is_input(entry) for item in cast(Any, entry).items])
        )
        for number, (line, entry) in enumerate(zip(chunk, prepared, strict=True), start=tally.lines + 1):
            if entry is None:
                output.write(f"{line}\n".encode())
                continue
            if not isinstance(entry, Failure):
                entry = predictor.task.assemble(entry, [next(outcomes) for _ in entry.items])
            if isinstance(entry, Failure):
                tally.note(entry.error)
                print(f"line {number}: {entry.error}", file=sys.stderr)
                output.write(b"\n")
            else:
                output.write(f"{_shown(predictor.task.output(entry.value))}\n".encode())
        output.flush()
        tally.lines += len(chunk)
        if not predictor.computing.is_healthy:
            raise InferenceError(f"the engine fails again and again, at line {tally.lines} by now; see the log above")
        if show_progress:
            print(f"\r{tally.lines} lines", end="", file=sys.stderr, flush=True)
    if show_progress:
        print(file=sys.stderr)
    return tally


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
