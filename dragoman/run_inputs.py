"""Answering many inputs as a batch job: the lines of a text, or files, for a task whose inputs are files."""

import contextlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.atomic import check_writable
from dragoman.atomic import file as new_file
from dragoman.errors import ConfigError, DataError, DragomanError, InferenceError, InvalidInput
from dragoman.http.protocol import check_body_size
from dragoman.items.files import list_files
from dragoman.items.outcomes import Failure
from dragoman.predictor import ITEMS_AT_ONCE, Predictor, load
from dragoman.text.lines import read_lines

NO_JSON = "null"
# Of some megabytes each, whole in memory until they are decoded.
FILES_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line or a file: its place in messages, and its text or bytes, an error where it cannot be read.

    ``name`` is a file's name, which stands before its output; a line has none. A line without text has nothing to
    answer, and ``item`` is None.
    """

    place: str
    item: str | bytes | DragomanError | None
    name: str | None = None
    blank: str = ""

    def line(self, answer: str | None) -> str:
        """Write the answer, None where there is none, as a line of text."""
        if self.name is None:
            return self.blank if answer is None else answer
        # A name with a line end or a tab would break the line, and one that is not UTF-8 could not be written.
        name = self.name if self.name.isprintable() else json.dumps(self.name)
        return f"{name}\t{answer or ''}"

    def json(self, output: str) -> str:
        """Write an output, JSON already, as a line of JSON."""
        return output if self.name is None else f'{{"file": {json.dumps(self.name)}, "output": {output}}}'


def run_inputs(
    bundle: str,
    *,
    sources: Sequence[str],
    destination: str | None,
    engine: str,
    device: str,
    parameters: Mapping[str, Any],
    show_progress: bool,
    as_json: bool = False,
) -> None:
    """Answer ``sources`` (standard input where there is none) to ``destination`` (standard output when None).

    A source is one text, line by line, or files and folders of them where the task's inputs are files, each with its
    name. ``parameters`` are further fields of the request that each input becomes. Outputs have the form that the task
    gives a line; a line without text stays as it is. An input that cannot be answered leaves an empty output, is
    reported on standard error, and makes the whole end with InvalidInput once everything else is done, or with
    InferenceError where it was the engine that failed. ``as_json`` writes JSON instead, null where there is no output.
    An engine that fails again and again ends it at once. A destination file is written whole or not at all. Text is
    UTF-8, whatever the locale.
    """
    if destination:
        check_writable(Path(destination))
    predictor = load(bundle, engine=engine, device=device)
    try:
        kind, entries, at_once = _entries(predictor, sources)
        _check(predictor, parameters, kind)
        with new_file(Path(destination)) if destination else contextlib.nullcontext(sys.stdout.buffer) as output:
            chunks = iter(lambda: list(itertools.islice(entries, at_once)), [])
            failed, done = Counter[type[DragomanError]](), 0
            for chunk in chunks:
                failed.update(_answer(predictor, chunk, output, parameters, as_json=as_json))
                done += len(chunk)
                if not predictor.computing.is_healthy:
                    raise InferenceError(
                        f"the engine fails again and again, at {kind} {done} by now; see the log above"
                    )
                if show_progress:
                    print(f"\r{done} {kind}s", end="", file=sys.stderr, flush=True)
            if show_progress:
                print(file=sys.stderr)
    finally:
        predictor.close()
    if failed:
        error = InvalidInput if set(failed) <= {InvalidInput, DataError} else InferenceError
        raise error(f"{failed.total()} {kind}s could not be answered and were left empty; see the messages above")


def _entries(predictor: Predictor, sources: Sequence[str]) -> tuple[str, Iterator[Entry], int]:
    """Return the word for an input, the inputs, and how many to answer at once."""
    if predictor.task.takes_files:
        return "file", _files(sources, predictor.task.limits.max_body_bytes), FILES_AT_ONCE
    if len(sources) > 1:
        raise ConfigError(f"--input: {predictor.bundle.manifest.task} reads one text, line by line, got {len(sources)}")
    lines = enumerate(read_lines(sources[0] if sources else None), start=1)
    entries = (Entry(place=f"line {number}", item=line if line.strip() else None, blank=line) for number, line in lines)
    return "line", entries, ITEMS_AT_ONCE


def _files(sources: Sequence[str], limit: int) -> Iterator[Entry]:
    """Read files, each within the limit of a request's body."""
    if not sources:
        yield Entry(place="standard input", item=sys.stdin.buffer.read(), name="standard input")
    for path in list_files(sources):
        item: bytes | DragomanError
        try:
            check_body_size(path.stat().st_size, limit)
            item = path.read_bytes()
        except OSError as error:
            item = DataError(f"it cannot be read: {error.strerror or error}")
        except InvalidInput as error:
            item = error
        yield Entry(place=str(path), item=item, name=str(path))


def _check(predictor: Predictor, parameters: Mapping[str, Any], kind: str) -> None:
    """Raise ConfigError for parameters that no request may have, before the first input is read."""
    task = predictor.task
    if task.input_field in parameters:
        raise ConfigError(f"--set: {task.input_field} is the {kind} itself; give other fields of a request")
    try:
        task.parse({**task.request_for(task.example_item), **parameters})
    except InvalidInput as error:
        raise ConfigError(f"--set: {error}") from error


def _answer(
    predictor: Predictor, chunk: Sequence[Entry], output: BinaryIO, parameters: Mapping[str, Any], *, as_json: bool
) -> list[type[DragomanError]]:
    """Write the answers of some inputs, and return the kinds of errors among them."""
    task, failed = predictor.task, []

    def prepare(item: str | bytes) -> Any:
        payload = {task.input_field: item} if isinstance(item, bytes) else task.request_for(item)
        (prepared,) = task.parse({**payload, **parameters}).inputs
        return prepared

    outcomes = iter(predictor([entry.item for entry in chunk if isinstance(entry.item, str | bytes)], prepare))
    for entry in chunk:
        answer, error = None, entry.item if isinstance(entry.item, DragomanError) else None
        if isinstance(entry.item, str | bytes):
            outcome = next(outcomes)
            if isinstance(outcome, Failure):
                error = outcome.error
            else:
                plain = task.output(outcome.value)
                answer = json.dumps(plain, ensure_ascii=False) if as_json else task.line(plain)
        if error:
            failed.append(type(error))
            print(f"{entry.place}: {error}", file=sys.stderr)
            # A line of text that could not be answered is left empty, whatever stood there.
            answer = None if as_json else ""
        line = entry.json(answer or NO_JSON) if as_json else entry.line(answer)
        output.write(f"{line}\n".encode())
    output.flush()
    return failed
