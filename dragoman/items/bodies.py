"""Reading of request bodies: bytes and a media type in, a payload of JSON values out.

These are the forms that most tasks accept; a task with bodies of its own (pictures) reads them itself (``Task.read``).
"""

import json
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from dragoman.errors import InvalidInput

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"
TEXT_TYPE = "text/plain"
MAX_FORM_FIELDS = 1_000
# Far more than any request needs, and far below the depth at which Python's parser gives up on a deep stack.
MAX_DEPTH = 16


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a multipart body: a file, or a field of a form."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """A request before anything is decoded; ``form`` or ``parts`` instead of a body where a server has split it.

    ``content_type`` is None where the client named none, as gRPC never does; what that means is the task's to say.
    """

    body: bytes = b""
    content_type: str | None = None
    form: Mapping[str, Sequence[str]] | None = None
    parts: Sequence[Part] | None = None

    @property
    def media_type(self) -> str | None:
        """The content type without its parameters; None where a client names none."""
        return self.content_type.partition(";")[0].strip().lower() if self.content_type else None

    @property
    def size(self) -> int:
        """The bytes that limits count."""
        return len(self.body) + sum(len(part.content) for part in self.parts or ())


def read_payload(raw: RawRequest, *, text_field: str | None, text_fields: frozenset[str]) -> Any:
    """Decode a body of JSON, a form, or plain text, which becomes the field ``text_field`` where there is one.

    Without a content type a body is JSON. ``text_fields`` stay text in a form, where numbers and booleans have no type
    of their own. Raises InvalidInput.
    """
    if raw.form is not None:
        return form_payload(raw.form, text_fields)
    accepted = (JSON_TYPE, TEXT_TYPE, FORM_TYPE) if text_field else (JSON_TYPE, FORM_TYPE)
    media_type = raw.media_type or JSON_TYPE
    if media_type not in accepted:
        raise InvalidInput(
            f"the content type {media_type[:60]!r} is not accepted; send {', '.join(accepted[:-1])} or {FORM_TYPE}",
            code="unsupported_media_type",
        )
    try:
        text = raw.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 at byte {error.start}; send UTF-8", code="malformed_json") from error
    if media_type == TEXT_TYPE:
        return {text_field: text}
    return json_payload(text) if media_type == JSON_TYPE else form_payload(_split_form(text), text_fields)


def json_payload(text: str) -> Any:
    """Parse JSON strictly: no NaN, no key twice, no deep nesting; raises InvalidInput."""
    try:
        payload = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="malformed_json"
        ) from error
    except (RecursionError, ValueError) as error:
        # ValueError: a number with more digits than Python converts.
        raise _beyond_measure() from error
    depth, level = 0, [payload]
    while level:
        # One level of lists and objects after the other, without recursion.
        level = [value for value in level if isinstance(value, dict | list)]
        depth += bool(level)
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    if depth > MAX_DEPTH:
        raise _beyond_measure()
    return payload


def form_payload(form: Mapping[str, Sequence[str]], text_fields: frozenset[str]) -> dict[str, Any]:
    """Make a payload of form fields; what is not among ``text_fields`` is read as JSON would read it."""
    if any(map(_looks_like_json, form)):
        raise not_a_form()
    if any(len(values) > 1 for values in form.values()):
        raise repeated_form_field()
    return {name: value if name in text_fields else _form_value(value) for name, (value,) in form.items()}


def not_a_form() -> InvalidInput:
    """Return the error for a body that its content type calls a form and that is none, as ``curl -d`` sends JSON."""
    return InvalidInput(
        "the body was sent as a form but is none; if it is JSON, add the header 'Content-Type: application/json'",
        code="unsupported_media_type",
    )


def sent_as_form() -> InvalidInput:
    """Return the error for a form where a file is wanted, which is what ``curl --data-binary`` calls every body."""
    return InvalidInput(
        "the body was sent as a form, which is not accepted; name what it is, a file by the header "
        "'Content-Type: application/octet-stream' and JSON by 'Content-Type: application/json', or send the file as "
        f"{MULTIPART_TYPE}, as curl -F does",
        code="unsupported_media_type",
    )


def repeated_form_field() -> InvalidInput:
    """Return the error for a form with a field twice, of which some servers keep the last only."""
    return InvalidInput("a form may hold each field once, as name=value; for several values send JSON, with a list")


def shown(value: object) -> str:
    """Format a JSON value for a message: as JSON, and cut where it is long."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else f"{text[:57]}..."


def json_type(value: object) -> str:
    """Name the type of a JSON value."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _beyond_measure() -> InvalidInput:
    return InvalidInput("the body is nested too deeply or holds too long a number", code="malformed_json")


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"the body holds {name}, which is not JSON", code="malformed_json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        # Readers differ in which of two equal keys counts; a body that is ambiguous is refused.
        times = Counter(name for name, _ in pairs)
        twice = next(name for name in times if times[name] > 1)
        raise InvalidInput(f"the body holds the key {twice[:60]!r} twice", code="malformed_json")
    return result


def _split_form(text: str) -> dict[str, list[str]]:
    try:
        return urllib.parse.parse_qs(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise (not_a_form() if _looks_like_json(text) or "=" not in text else repeated_form_field()) from error


def _looks_like_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _form_value(value: str) -> Any:
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    # A form has no lists and objects; these stay text, and get the same answer however deep they are.
    return value if isinstance(decoded, dict | list) else decoded
