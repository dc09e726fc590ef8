"""The requests that every server must answer alike, good and bad, with the status and error code each must get."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def load_cases() -> list[Case]:
    """Every case of requests.json, in order."""
    return [_case(entry) for entry in json.loads(REQUESTS.read_text(encoding="utf-8"))]


def _case(entry: Mapping[str, Any]) -> Case:
    return Case(
        name=entry["name"],
        request=RawRequest(body=_body(entry), content_type=entry.get("content_type", JSON_TYPE)),
        status=entry["status"],
        code=entry.get("code"),
        field=entry.get("field"),
    )


def _body(entry: Mapping[str, Any]) -> bytes:
    """A body is given as JSON, as text, or, where it is long, as what to repeat how often."""
    if "json" in entry:
        return json.dumps(entry["json"], ensure_ascii=False).encode()
    if "latin1" in entry:
        return str(entry["latin1"]).encode("latin-1")
    if "raw" in entry:
        return _repeated(entry["raw"]).encode()
    if "q_text" in entry:
        return json.dumps({"q": _repeated(entry["q_text"])}).encode()
    if "q_list" in entry:
        text, times = entry["q_list"]
        return json.dumps({"q": [text] * times}).encode()
    return str(entry["text"]).encode()


def _repeated(rule: tuple[str, int]) -> str:
    text, times = rule
    return text * times
