"""The comparison of every server's answers with the engine's."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.conformance.corpus import Case, Tie
from deploy.conformance.endpoints import Endpoint
from dragoman.http.protocol import Reply
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.tasks.base import Task

CLIENTS = 16


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


def compare_cases(
    cases: Sequence[Case], engine: Endpoint, servers: Sequence[Endpoint], tie: Tie | None = None
) -> list[Difference]:
    """Ask the engine and the servers every case: the engine must do what it says, the servers what the engine does.

    ``tie`` says how far scores may be apart; by default all of an answer is compared to the last bit.
    """
    differences = []
    for case in cases:
        reference = engine.ask(case.request)
        if wrong := case.violation(reference):
            differences.append(Difference(engine.name, case.name, wrong))
        for server in servers:
            if server.reports_status or case.over_grpc:
                differences += _compare(case, reference, server, tie or Tie())
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


def _differing(*bodies: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fields in which two bodies differ: an answer may begin with kilobytes that are the same."""
    one, other = bodies
    names = [name for name in {**one, **other} if one.get(name, ...) != other.get(name, ...)]
    return [{name: body[name] for name in names if name in body} for body in bodies]


def compare_items(
    items: Sequence[Any],
    task: type[Task],
    tie: Tie,
    engine: Endpoint,
    servers: Sequence[Endpoint],
    report: Callable[[str], None],
) -> list[ItemReport]:
    """Send each item by a request of its own, many at a time, so that the servers batch as they please."""
    bodies = [json.dumps({**task.request_for([item]), **tie.options}).encode() for item in items]
    requests = [RawRequest(body=body, content_type=JSON_TYPE) for body in bodies]
    reference = _replies(requests, engine)
    reports = []
    for server in servers:
        report(f"{server.name}: {len(items)} requests, {CLIENTS} at a time")
        identical = ties = 0
        differences = []
        for item, expected, found in zip(items, reference, _replies(requests, server), strict=True):
            if _same(expected, found, task):
                identical += 1
            elif tie.between(expected, found):
                ties += 1
            else:
                wrong = f"{_short(found)} != {_short(expected)}"
                differences.append(Difference(server.name, _short(item), wrong))
        reports.append(ItemReport(server.name, len(items), identical, ties, tuple(differences)))
    return reports


def _replies(requests: Sequence[RawRequest], endpoint: Endpoint) -> list[dict[str, Any]]:
    """Collect the bodies of the answers, and where there is none, an error body that equals no answer."""

    def ask(request: RawRequest) -> dict[str, Any]:
        try:
            return endpoint.ask(request).body
        except Exception as error:
            return {"no answer": f"{type(error).__name__}: {error}"}

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, requests))


def _same(expected: Mapping[str, Any], found: Mapping[str, Any], task: type[Task]) -> bool:
    """Tell whether the outputs are equal, or, where the engine or the server refuses the item, the errors."""
    if "code" in expected or "code" in found or "no answer" in found:
        return found == expected
    return task.outputs_of(expected) == task.outputs_of(found)


def _short(body: object) -> str:
    text = str(body)
    return text if len(text) <= 200 else f"{text[:197]}..."
