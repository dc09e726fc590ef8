"""Answering a text file line by line, as a batch job: for every task whose inputs are text."""

import contextlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.atomic import check_writable
from dragoman.atomic import file as new_file
from dragoman.errors import ConfigError, DragomanError, InferenceError, InvalidInput
from dragoman.items.outcomes import Failure
from dragoman.predictor import ITEMS_AT_ONCE, Predictor, load
from dragoman.text.lines import read_lines

NO_JSON = "null"


def run_lines(
    bundle: str,
    *,
    source: str | None,
    destination: str | None,
    engine: str,
    device: str,
    parameters: Mapping[str, Any],
    show_progress: bool,
    as_json: bool = False,
) -> None:
    """Answer ``source`` (standard input when None) to ``destination`` (standard output when None), line by line.

    ``parameters`` are further fields of the request that each line becomes. Outputs have the form that the task gives
    a line; a line without text stays as it is. A line that cannot be answered leaves an empty line, is reported on
    standard error, and makes the whole end with InvalidInput once everything else is done, or with InferenceError where
    it was the engine that failed. ``as_json`` writes JSON instead, null where there is no output. An engine that fails
    again and again ends it at once. A destination file is written whole or not at all. Text is UTF-8, whatever the
    locale.
    """
    if destination:
        check_writable(Path(destination))
    predictor = load(bundle, engine=engine, device=device)
    try:
        _check(predictor, parameters)
        with new_file(Path(destination)) if destination else contextlib.nullcontext(sys.stdout.buffer) as output:
            lines = read_lines(source)
            failed = _answer_lines(predictor, lines, output, parameters, as_json=as_json, show_progress=show_progress)
    finally:
        predictor.close()
    if failed:
        kind = InvalidInput if set(failed) == {InvalidInput} else InferenceError
        raise kind(f"{failed.total()} lines could not be answered and were left empty; see the messages above")


def _check(predictor: Predictor, parameters: Mapping[str, Any]) -> None:
    """Raise ConfigError for parameters that no request may have, before the first line is read."""
    task = predictor.task
    if task.input_field in parameters:
        raise ConfigError(f"--set: {task.input_field} is the line itself; give other fields of a request")
    try:
        task.parse({**task.request_for(task.example_item), **parameters})
    except InvalidInput as error:
        raise ConfigError(f"--set: {error}") from error


def _answer_lines(
    predictor: Predictor,
    lines: Iterator[str],
    output: BinaryIO,
    parameters: Mapping[str, Any],
    *,
    as_json: bool,
    show_progress: bool,
) -> Counter[type[DragomanError]]:
    """Write the answers of all lines, some hundreds at a time, and count the errors among them."""
    task, failed, done = predictor.task, Counter[type[DragomanError]](), 0

    def prepare(line: str) -> Any:
        (prepared,) = task.parse({**task.request_for(line), **parameters}).inputs
        return prepared

    while chunk := list(itertools.islice(lines, ITEMS_AT_ONCE)):
        outcomes = iter(predictor([line for line in chunk if line.strip()], prepare))
        for number, line in enumerate(chunk, start=done + 1):
            answer = NO_JSON if as_json else line
            if line.strip():
                outcome = next(outcomes)
                if isinstance(outcome, Failure):
                    failed[type(outcome.error)] += 1
                    print(f"line {number}: {outcome.error}", file=sys.stderr)
                    answer = NO_JSON if as_json else ""
                else:
                    plain = task.output(outcome.value)
                    answer = json.dumps(plain, ensure_ascii=False) if as_json else task.line(plain)
            output.write(f"{answer}\n".encode())
        output.flush()
        done += len(chunk)
        if not predictor.computing.is_healthy:
            raise InferenceError(f"the engine fails again and again, at line {done} by now; see the log above")
        if show_progress:
            print(f"\r{done} lines", end="", file=sys.stderr, flush=True)
    if show_progress:
        print(file=sys.stderr)
    return failed
