"""The comparison of every server's answers with the engine's."""

import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.conformance.corpus import Case, Tie, load_corpus
from deploy.conformance.servers import Endpoint, InProcess
from dragoman.bundle.store import open_bundle
from dragoman.engines.selection import configured_engine
from dragoman.http.protocol import Body, Reply
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.predictor import load
from dragoman.tasks.base import Task, task_class

CLIENTS = 16
# All of an answer is compared to the last bit.
NO_TIE = Tie()
# Differing items of one way that are printed.
SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """One wrong answer."""

    endpoint: str
    case: str
    what: str


@dataclass(frozen=True)
class ItemReport:
    """The outputs of one server, compared with the engine's."""

    endpoint: str
    items: int
    identical: int
    ties: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """The outcome for the requests of the corpus, and for single items."""

    cases: int
    differences: Sequence[Difference]
    items: Sequence[ItemReport]

    @property
    def alike(self) -> int:
        """The number of requests of the corpus that were answered alike everywhere."""
        return self.cases - len({difference.case for difference in self.differences})

    @property
    def is_complete(self) -> bool:
        """True when nothing differs."""
        return not self.differences and not any(report.differences for report in self.items)

    def show(self, console: Console) -> None:
        """Print every difference, as far as there is room, and the counts."""
        listed = [entry for report in self.items for entry in report.differences[:SHOWN]]
        for difference in [*self.differences, *listed]:
            console.print(f"[red]{difference.endpoint}[/red]: {difference.case!r}: {difference.what}", markup=True)
        if self.items:
            console.print(item_table(self.items))
        console.print(f"{self.cases} requests: {self.alike} answered alike everywhere")


def compare(
    bundle: Path, servers: Sequence[Endpoint], items: Sequence[Any], report: Callable[[str], None]
) -> Conformance:
    """Ask the engine and servers that run over the same bundle for all of the corpus, and for single items.

    The engine is the one that ``DRAGOMAN_ENGINE`` names, as it is in servers started here.
    """
    opened = open_bundle(bundle)
    task = task_class(opened.manifest.task)
    corpus = load_corpus(opened.manifest.task)
    with closing(load(opened, engine=configured_engine(task.engines))) as predictor:
        way, engine = InProcess(predictor), predictor.task.engine
        cases = corpus.cases(predictor.task.limits)
        report(f"{len(cases)} requests to the engine and {len(servers)} ways into the servers")
        differences = compare_cases(cases, way, servers, NO_TIE if engine is None or engine.is_exact else corpus.tie)
        reports = compare_items(items, task, corpus.tie, way, servers, report) if items else []
    return Conformance(cases=len(cases), differences=differences, items=reports)


def compare_cases(
    cases: Sequence[Case], engine: Endpoint, servers: Sequence[Endpoint], tie: Tie = NO_TIE
) -> list[Difference]:
    """Ask the engine and the servers every case: the engine must do what it says, the servers what the engine does.

    ``tie`` says how far scores may be apart.
    """
    differences = []
    for case in cases:
        reference = engine.ask(case.request)
        if wrong := case.violation(reference):
            differences.append(Difference(engine.name, case.name, wrong))
        for server in servers:
            if server.reports_status or case.over_grpc:
                differences += _compare(case, reference, server, tie)
    return differences


def _compare(case: Case, reference: Reply, server: Endpoint, tie: Tie) -> list[Difference]:
    try:
        reply = server.ask(case.request)
    except Exception as error:
        return [Difference(server.name, case.name, f"no answer: {type(error).__name__}: {error}")]
    if server.reports_status and reply.status != reference.status:
        return [Difference(server.name, case.name, f"status {reply.status}, the engine's is {reference.status}")]
    if reply.body != reference.body and not tie.covers(reference.body, reply.body):
        found, expected = _differing(reply.body, reference.body)
        return [Difference(server.name, case.name, f"{_short(found)}, the engine's is {_short(expected)}")]
    return []


def _differing(one: Body, other: Body) -> Sequence[object]:
    """Return the parts in which two bodies differ: an answer may begin with kilobytes that are the same."""
    if isinstance(one, list) and isinstance(other, list):
        pairs = itertools.zip_longest(one, other)
        return next((ours, theirs) for ours, theirs in pairs if ours != theirs)
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one, other
    names = [name for name in {**one, **other} if one.get(name, ...) != other.get(name, ...)]
    return [{name: body[name] for name in names if name in body} for body in (one, other)]


def compare_items(
    items: Sequence[Any],
    task: type[Task],
    tie: Tie,
    engine: Endpoint,
    servers: Sequence[Endpoint],
    report: Callable[[str], None],
) -> list[ItemReport]:
    """Send each item by a request of its own, many at a time, so that the servers batch as they please."""
    requests = [_request_for(item, task, tie) for item in items]
    reference = _replies(requests, engine)
    reports = []
    for server in servers:
        report(f"{server.name}: {len(items)} requests, {CLIENTS} at a time")
        identical = ties = 0
        differences = []
        for item, expected, found in zip(items, reference, _replies(requests, server), strict=True):
            if _same(expected, found, task):
                identical += 1
            elif tie.between(expected.body, found.body):
                ties += 1
            else:
                wrong = f"{_short(found.body)} != {_short(expected.body)}"
                differences.append(Difference(server.name, _short(item), wrong))
        reports.append(ItemReport(server.name, len(items), identical, ties, tuple(differences)))
    return reports


def _request_for(item: Any, task: type[Task], tie: Tie) -> RawRequest:
    """Send a file's bytes as they are, and anything else as a list of one in JSON."""
    if isinstance(item, bytes) and task.takes_files:
        return RawRequest(body=item)
    body = json.dumps({**task.request_for([item]), **tie.options}).encode()
    return RawRequest(body=body, content_type=JSON_TYPE)


def _replies(requests: Sequence[RawRequest], endpoint: Endpoint) -> list[Reply]:
    """Collect the answers, and where there is none, an error that equals no answer."""

    def ask(request: RawRequest) -> Reply:
        try:
            return endpoint.ask(request)
        except Exception as error:
            return Reply(0, {"code": "no answer", "error": f"{type(error).__name__}: {error}"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, requests))


def _same(expected: Reply, found: Reply, task: type[Task]) -> bool:
    """Tell whether the outputs are equal, or, where the engine or the server refuses the item, the errors.

    The answer to a file's bytes, which are sent without a list, is compared whole.
    """
    if expected.error or found.error or task.takes_files:
        return found.body == expected.body
    return task.outputs_of(expected.body) == task.outputs_of(found.body)


def _short(body: object) -> str:
    text = str(body)
    return text if len(text) <= 200 else f"{text[:197]}..."


def item_table(reports: Sequence[ItemReport]) -> Table:
    """Show how many outputs each way gave exactly as the engine did."""
    table = Table("way", "items", "identical to the engine", "ties", "different")
    for report in reports:
        counts = (report.items, report.identical, report.ties, len(report.differences))
        table.add_row(report.endpoint, *map(str, counts))
    return table
