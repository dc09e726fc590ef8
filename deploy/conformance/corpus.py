"""The requests that every server must answer alike, good and bad, with the status and error code each must get."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.manifest import Limits
from dragoman.protocol import JSON_TYPE, RawRequest, Reply

REQUESTS = Path(__file__).with_name("requests.json")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request and what its answer must be; code and field are None for a good one."""

    name: str
    request: RawRequest
    status: int
    code: str | None
    field: str | None

    @property
    def over_grpc(self) -> bool:
        """gRPC carries JSON bytes and no content type, so only what is sent as JSON can be asked there."""
        return self.request.content_type == JSON_TYPE

    def violation(self, reply: Reply) -> str | None:
        """How an answer differs from what this case asks for, or None."""
        found = (reply.status, reply.body.get("code"), reply.body.get("field"))
        expected = (self.status, self.code, self.field)
        return None if found == expected else f"status, code, field must be {expected}, got {found}"


def load_cases(limits: Limits) -> list[Case]:
    """Every case of requests.json, in order, for a bundle with these limits."""
    return [_case(entry, limits) for entry in json.loads(REQUESTS.read_text(encoding="utf-8"))]


def _case(entry: Mapping[str, Any], limits: Limits) -> Case:
    return Case(
        name=entry["name"],
        request=RawRequest(body=_body(entry, limits), content_type=entry.get("content_type", JSON_TYPE)),
        status=entry["status"],
        code=entry.get("code"),
        field=entry.get("field"),
    )


def _body(entry: Mapping[str, Any], limits: Limits) -> bytes:
    """A body is given as JSON, as text, or, where it is long, as what to repeat how often: a number, or a limit's name.

    A limit is exceeded by one, and kept by ``q_filled``, which repeats a text for as long as another one fits.
    """
    if "json" in entry:
        return json.dumps(entry["json"], ensure_ascii=False).encode()
    if "latin1" in entry:
        return str(entry["latin1"]).encode("latin-1")
    if "raw" in entry:
        text, times = entry["raw"]
        return str(text * times).encode()
    if "q_text" in entry:
        text, times = entry["q_text"]
        return json.dumps({"q": text * _number(times, limits), **entry.get("options", {})}).encode()
    if "q_list" in entry:
        text, times = entry["q_list"]
        return json.dumps({"q": [text] * _number(times, limits)}).encode()
    if "q_filled" in entry:
        text, limit = entry["q_filled"]
        return json.dumps({"q": text * (getattr(limits, limit) // len(text)), **entry.get("options", {})}).encode()
    return str(entry["text"]).encode()


def _number(times: int | str, limits: Limits) -> int:
    return times if isinstance(times, int) else int(getattr(limits, times)) + 1
