"""Asking every target the same and saying where the answers differ."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deploy.conformance.corpus import Case
from deploy.conformance.targets import Target
from dragoman.protocol import JSON_TYPE, RawRequest, Reply

# Two hypotheses whose length-normalised log-probabilities are closer than this are a tie: either is right.
TIE = 1e-4
CLIENTS = 16


@dataclass(frozen=True)
class Difference:
    """One answer that is not what it must be."""

    target: str
    case: str
    what: str


@dataclass(frozen=True, kw_only=True)
class SentenceReport:
    """How one target's translations compare with the engine's."""

    target: str
    sentences: int
    identical: int
    ties: int
    differences: tuple[Difference, ...]


def compare_cases(cases: Sequence[Case], engine: Target, servers: Sequence[Target]) -> list[Difference]:
    """Ask the engine and the servers every case: the engine must do what it says, the servers what the engine does."""
    differences = []
    for case in cases:
        reference = engine.ask(case.request)
        if wrong := case.violation(reference):
            differences.append(Difference(engine.name, case.name, wrong))
        for server in servers:
            if server.reports_status or case.over_grpc:
                differences += _compare(case, reference, server)
    return differences


def _compare(case: Case, reference: Reply, server: Target) -> list[Difference]:
    try:
        reply = server.ask(case.request)
    except Exception as error:
        return [Difference(server.name, case.name, f"no answer: {type(error).__name__}: {error}")]
    if server.reports_status and reply.status != reference.status:
        return [Difference(server.name, case.name, f"status {reply.status}, the engine's is {reference.status}")]
    if reply.body != reference.body:
        return [Difference(server.name, case.name, f"{_short(reply.body)}, the engine's is {_short(reference.body)}")]
    return []


def compare_sentences(
    sentences: Sequence[str], engine: Target, servers: Sequence[Target], report: Callable[[str], None]
) -> list[SentenceReport]:
    """Translate each sentence by a request of its own, many at a time, so that the servers batch as they please."""
    reference = _translate(sentences, engine)
    reports = []
    for server in servers:
        report(f"{server.name}: {len(sentences)} requests, {CLIENTS} at a time")
        reports.append(_sentence_report(sentences, reference, _translate(sentences, server), server))
    return reports


def _translate(sentences: Sequence[str], target: Target) -> list[Reply]:
    bodies = [json.dumps({"q": text, "return_scores": True}).encode() for text in sentences]
    requests = [RawRequest(body=body, content_type=JSON_TYPE) for body in bodies]
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda request: _ask(target, request), requests))


def _ask(target: Target, request: RawRequest) -> Reply:
    """The answer, or an error body of our own where there is none, which equals no answer of the engine."""
    try:
        return target.ask(request)
    except Exception as error:
        return Reply(0, {"no answer": f"{type(error).__name__}: {error}"})


def _sentence_report(
    sentences: Sequence[str], reference: Iterable[Reply], replies: Iterable[Reply], server: Target
) -> SentenceReport:
    identical = ties = 0
    differences = []
    for sentence, expected, found in zip(sentences, reference, replies, strict=True):
        if _same(expected, found):
            identical += 1
        elif _is_tie(expected, found):
            ties += 1
        else:
            differences.append(Difference(server.name, sentence, f"{_short(found.body)} != {_short(expected.body)}"))
    return SentenceReport(
        target=server.name,
        sentences=len(sentences),
        identical=identical,
        ties=ties,
        differences=tuple(differences),
    )


def _same(expected: Reply, found: Reply) -> bool:
    """Whether the texts are equal, or, where the engine refuses the sentence, the errors."""
    if "translatedText" in expected.body:
        return bool(found.body.get("translatedText") == expected.body["translatedText"])
    return found.body == expected.body


def _is_tie(expected: Reply, found: Reply) -> bool:
    ours, theirs = expected.body.get("scores"), found.body.get("scores")
    return bool(ours and theirs and abs(ours[0] - theirs[0]) <= TIE)


def _short(body: object) -> str:
    text = str(body)
    return text if len(text) <= 200 else f"{text[:197]}..."
