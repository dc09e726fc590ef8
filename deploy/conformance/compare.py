"""Asking every target the same and saying where the answers differ."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.conformance.corpus import Case, Tie
from deploy.conformance.targets import Target
from dragoman.http.protocol import Reply
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.tasks.base import Task

CLIENTS = 16


@dataclass(frozen=True)
class Difference:
    """One answer that is not what it must be."""

    target: str
    case: str
    what: str


@dataclass(frozen=True, kw_only=True)
class ItemReport:
    """A comparison of one target's outputs with the engine's."""

    target: str
    items: int
    identical: int
    ties: int
    differences: tuple[Difference, ...]


def compare_cases(
    cases: Sequence[Case], engine: Target, servers: Sequence[Target], tie: Tie | None = None
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


def _compare(case: Case, reference: Reply, server: Target, tie: Tie) -> list[Difference]:
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
    """The fields of two bodies in which they are not the same: an answer may begin with kilobytes that are."""
    one, other = bodies
    names = [name for name in {**one, **other} if one.get(name, ...) != other.get(name, ...)]
    return [{name: body[name] for name in names if name in body} for body in bodies]


def compare_items(
    items: Sequence[Any],
    task: type[Task],
    tie: Tie,
    engine: Target,
    servers: Sequence[Target],
    report: Callable[[str], None],
) -> list[ItemReport]:
    """Send each item by a request of its own, many at a time, so that the servers batch as they please."""
    requests = [_request({**task.request_for([item]), **tie.options}) for item in items]
    reference = _replies(requests, engine)
    reports = []
    for server in servers:
        report(f"{server.name}: {len(items)} requests, {CLIENTS} at a time")
        reports.append(_item_report(items, task, tie, reference, _replies(requests, server), server))
    return reports


def _request(body: Mapping[str, Any]) -> RawRequest:
    return RawRequest(body=json.dumps(body).encode(), content_type=JSON_TYPE)


def _replies(requests: Sequence[RawRequest], target: Target) -> list[Reply]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda request: _ask(target, request), requests))


def _ask(target: Target, request: RawRequest) -> Reply:
    """The answer, or an error body of our own where there is none, which equals no answer of the engine."""
    try:
        return target.ask(request)
    except Exception as error:
        return Reply(0, {"no answer": f"{type(error).__name__}: {error}"})


def _item_report(
    items: Sequence[Any],
    task: type[Task],
    tie: Tie,
    reference: Iterable[Reply],
    replies: Iterable[Reply],
    server: Target,
) -> ItemReport:
    identical = ties = 0
    differences = []
    for item, expected, found in zip(items, reference, replies, strict=True):
        if _same(expected.body, found.body, task):
            identical += 1
        elif tie.between(expected.body, found.body):
            ties += 1
        else:
            what = f"{_short(found.body)} != {_short(expected.body)}"
            differences.append(Difference(server.name, _short(item), what))
    return ItemReport(
        target=server.name, items=len(items), identical=identical, ties=ties, differences=tuple(differences)
    )


def _same(expected: Mapping[str, Any], found: Mapping[str, Any], task: type[Task]) -> bool:
    """Whether the outputs are equal, or, where the engine or the server refuses the item, the errors."""
    if "code" in expected or "code" in found or "no answer" in found:
        return found == expected
    return task.outputs_of(expected) == task.outputs_of(found)


def _short(body: object) -> str:
    text = str(body)
    return text if len(text) <= 200 else f"{text[:197]}..."
