"""The requests of a task that every server must answer alike, good and bad, and single items to send.

``requests/<task>.json`` holds

- ``requests``: each with the status, and the code and field of an error, that its answer must have; ``content_type`` is
  that of JSON where it is not given, and null for none;
- ``items``: the text of an item, in which ``{number}`` makes as many of them as are asked for, or ``{"picture": [WIDTH,
  HEIGHT]}`` for a PNG of another colour for each number;
- ``files`` (optional): files by name, in base64, which requests refer to;
- ``tie`` (optional): where outputs may differ without being wrong. ``options`` are added to a request for an item, and
  two answers whose first numbers in the field ``score`` are no further apart than ``within`` are both right. Over an
  engine whose scores depend on the company in a batch, those of two answers to a request may differ by as much.
"""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.errors import ConfigError
from dragoman.http.protocol import Body, Reply
from dragoman.items.bodies import JSON_TYPE, MULTIPART_TYPE, RawRequest

REQUESTS = Path(__file__).with_name("requests")
# One would be "1 tickets".
FIRST_NUMBER = 2
BOUNDARY = "boundary-of-the-parts"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
        """True where a body needs no header to say what it is: gRPC carries none."""
        return self.request.content_type in (None, JSON_TYPE)

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
    item: str | Mapping[str, Any]
    tie: Tie
    files: Mapping[str, bytes] = field(default_factory=dict)

    def cases(self, limits: Any) -> list[Case]:
        """Spell out every request, in order, for a bundle with these limits: a dataclass of the task's."""
        return [self._case(entry, limits) for entry in self.entries]

    def items(self, count: int) -> list[str | bytes]:
        """Make so many different items, each of which the model takes."""
        numbers = range(FIRST_NUMBER, FIRST_NUMBER + count)
        if isinstance(self.item, str):
            return [self.item.replace("{number}", str(number)) for number in numbers]
        width, height = self.item["picture"]
        return [picture(number, width, height) for number in numbers]

    def _case(self, entry: Mapping[str, Any], limits: Any) -> Case:
        content_type = entry.get("content_type", JSON_TYPE)
        if "parts" in entry:
            content_type = f"{MULTIPART_TYPE}; boundary={BOUNDARY}"
        return Case(
            name=entry["name"],
            request=RawRequest(body=_body(entry, limits, self.files), content_type=content_type),
            status=entry["status"],
            code=entry.get("code"),
            field=entry.get("field"),
        )


def picture(number: int, width: int, height: int) -> bytes:
    """Write a PNG whose colours differ with its number, from corner to corner and between numbers."""
    # The factors are odd, so that neighbouring numbers are far apart and 65,536 of them differ.
    colour = (37 * number, 101 * number + 53 * (number >> 8), 171 * number)
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # no filter
        for x in range(width):
            shade = 40 * x // width - 40 * y // height
            rows += bytes((channel + shade) % 256 for channel in colour)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def load_corpus(task: str) -> Corpus:
    """Read the corpus of a task; raises ConfigError when there is none."""
    path = REQUESTS / f"{task}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(sorted(other.stem for other in REQUESTS.glob("*.json")))
        raise ConfigError(f"no requests for the task {task!r}: {path} is missing; there are {known}") from error
    files = {name: base64.b64decode(text) for name, text in found.get("files", {}).items()}
    return Corpus(entries=tuple(found["requests"]), item=found["items"], tie=Tie(**found.get("tie", {})), files=files)


def _body(entry: Mapping[str, Any], limits: Any, files: Mapping[str, bytes]) -> bytes:
    """Encode a body: JSON (see ``_filled``), a file (see ``_file``), parts, text, Latin-1, or a text to repeat."""
    if "json" in entry:
        return json.dumps(_filled(entry["json"], limits, files), ensure_ascii=False).encode()
    if "file" in entry:
        return _file(entry["file"], limits, files)
    if "parts" in entry:
        return b"".join(_part(part, limits, files) for part in entry["parts"]) + f"--{BOUNDARY}--\r\n".encode()
    if "latin1" in entry:
        return str(entry["latin1"]).encode("latin-1")
    if "raw" in entry:
        text, times = entry["raw"]
        return str(text * times).encode()
    return str(entry["text"]).encode()


def _part(part: Mapping[str, Any], limits: Any, files: Mapping[str, bytes]) -> bytes:
    """Write one part of a multipart body: a ``file``, with a name of its own perhaps, or a ``text``."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part["name"]}"'
    if "filename" in part:
        head += f'; filename="{part["filename"]}"\r\nContent-Type: {part.get("type", "application/octet-stream")}'
    content = _file(part["file"], limits, files) if "file" in part else str(part["text"]).encode()
    return f"{head}\r\n\r\n".encode() + content + b"\r\n"


def _file(given: Any, limits: Any, files: Mapping[str, bytes]) -> bytes:
    """Return a file by its name, ``[name, bytes]`` for its beginning, ``[name, limit]`` with zeros beyond a limit."""
    if isinstance(given, str):
        return files[given]
    name, size = given
    return files[name][:size] if isinstance(size, int) else files[name].ljust(_number(size, limits), b"\0")


def _filled(value: Any, limits: Any, files: Mapping[str, bytes]) -> Any:
    """Spell out the long parts of a JSON value.

    ``{"$text": [text, times]}`` is a text that often, ``{"$list": [value, times]}`` a list of so many equal values,
    ``{"$filled": [text, limit]}`` a text for as long as another one fits into the limit of this name, and
    ``{"$file": file}`` a file in base64 (see ``_file``). ``times`` is a number, or the name of a limit, which is then
    exceeded by one.
    """
    match value:
        case {"$text": [text, times]}:
            return text * _number(times, limits)
        case {"$list": [item, times]}:
            return [_filled(item, limits, files)] * _number(times, limits)
        case {"$filled": [text, limit]}:
            return text * (getattr(limits, limit) // len(text))
        case {"$file": file}:
            return base64.b64encode(_file(file, limits, files)).decode()
        case dict():
            return {key: _filled(part, limits, files) for key, part in value.items()}
        case list():
            return [_filled(part, limits, files) for part in value]
    return value


def _number(times: int | str, limits: Any) -> int:
    return times if isinstance(times, int) else int(getattr(limits, times)) + 1
