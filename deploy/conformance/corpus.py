"""The requests of a task that every server must answer alike, good and bad, and single items to send.

``requests/<task>.json`` holds

- ``requests``: each with the status, and the code and field of an error, that its answer must have;
- ``items``: the text of an item, in which ``{number}`` makes as many of them as are asked for;
- ``tie`` (optional): where outputs may differ without being wrong. ``options`` are added to a request for an item, and
  two answers whose first numbers in the field ``score`` are no further apart than ``within`` are both right. Over an
  engine whose scores depend on the company in a batch, those of two answers to a request may differ by as much.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.errors import ConfigError
from dragoman.http.protocol import Body, Reply
from dragoman.items.bodies import JSON_TYPE, RawRequest

REQUESTS = Path(__file__).with_name("requests")
# One would be "1 tickets".
FIRST_NUMBER = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request and the answer it must get; code and field are None for a good one."""

    name: str
    request: RawRequest
    status: int
    code: str | None
    field: str | None

    @property
    def over_grpc(self) -> bool:
        """True for JSON: gRPC carries bytes without a content type."""
        return self.request.content_type == JSON_TYPE

    def violation(self, reply: Reply) -> str | None:
        """Describe the difference between an answer and what this case asks for; None where there is none."""
        found = (reply.status, reply.error.get("code"), reply.error.get("field"))
        expected = (self.status, self.code, self.field)
        return None if found == expected else f"status, code, field must be {expected}, got {found}"


@dataclass(frozen=True, kw_only=True)
class Tie:
    """The rule by which two answers count as equally good; by default only equal ones do."""

    options: Mapping[str, Any] = field(default_factory=dict)
    score: str | None = None
    within: float = 0.0

    def between(self, one: Body, other: Body) -> bool:
        """Tell whether the first numbers of two answers are close enough."""
        ours, theirs = (
            _first(body.get(self.score)) if self.score and isinstance(body, dict) else None for body in (one, other)
        )
        return ours is not None and theirs is not None and abs(ours - theirs) <= self.within

    def covers(self, one: Body, other: Body) -> bool:
        """Tell whether two answers are the same but for numbers of the score that are close enough."""
        if self.score is None or not isinstance(one, dict) or not isinstance(other, dict) or one.keys() != other.keys():
            return False
        alike = all(one[name] == other[name] for name in one if name != self.score)
        return alike and _are_close(one.get(self.score), other.get(self.score), self.within)


def _first(value: Any) -> float | None:
    """Find the first number of nested lists."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, (int, float)) else None


def _are_close(one: Any, other: Any, within: float) -> bool:
    """Compare two numbers, or nested lists of as many numbers."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(_are_close(ours, theirs, within) for ours, theirs in zip(one, other, strict=True))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(one - other) <= within
    return bool(one == other)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The contents of ``requests/<task>.json``."""

    entries: tuple[Mapping[str, Any], ...]
    item: str
    tie: Tie

    def cases(self, limits: Any) -> list[Case]:
        """Spell out every request, in order, for a bundle with these limits: a dataclass of the task's."""
        return [
            Case(
                name=entry["name"],
                request=RawRequest(body=_body(entry, limits), content_type=entry.get("content_type", JSON_TYPE)),
                status=entry["status"],
                code=entry.get("code"),
                field=entry.get("field"),
            )
            for entry in self.entries
        ]

    def items(self, count: int) -> list[str]:
        """Make so many different items, each of which the model takes."""
        return [self.item.replace("{number}", str(FIRST_NUMBER + number)) for number in range(count)]


def load_corpus(task: str) -> Corpus:
    """Read the corpus of a task; raises ConfigError when there is none."""
    path = REQUESTS / f"{task}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(sorted(other.stem for other in REQUESTS.glob("*.json")))
        raise ConfigError(f"no requests for the task {task!r}: {path} is missing; there are {known}") from error
    return Corpus(entries=tuple(found["requests"]), item=found["items"], tie=Tie(**found.get("tie", {})))


def _body(entry: Mapping[str, Any], limits: Any) -> bytes:
    """Encode a body, given as JSON (see ``_filled``), as text, in Latin-1, or as a text to repeat."""
    if "json" in entry:
        return json.dumps(_filled(entry["json"], limits), ensure_ascii=False).encode()
    if "latin1" in entry:
        return str(entry["latin1"]).encode("latin-1")
    if "raw" in entry:
        text, times = entry["raw"]
        return str(text * times).encode()
    return str(entry["text"]).encode()


def _filled(value: Any, limits: Any) -> Any:
    """Spell out the long parts of a JSON value.

    ``{"$text": [text, times]}`` is a text that often, ``{"$list": [value, times]}`` a list of so many equal values, and
    ``{"$filled": [text, limit]}`` a text for as long as another one fits into the limit of this name. ``times`` is a
    number, or the name of a limit, which is then exceeded by one.
    """
    match value:
        case {"$text": [text, times]}:
            return text * _number(times, limits)
        case {"$list": [item, times]}:
            return [item] * _number(times, limits)
        case {"$filled": [text, limit]}:
            return text * (getattr(limits, limit) // len(text))
        case dict():
            return {key: _filled(part, limits) for key, part in value.items()}
        case list():
            return [_filled(part, limits) for part in value]
    return value


def _number(times: int | str, limits: Any) -> int:
    return times if isinstance(times, int) else int(getattr(limits, times)) + 1
