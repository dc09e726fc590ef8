"""One request body in, one status and JSON body out: what every server answers, and all that decides it.

The servers hand over the bytes and the content type as they came. Whatever is wrong with a request is told in one form,
``{"error": "sentence", "code": "text_too_long", "field": "q[3]"}``, with the HTTP status that goes with the code.
"""

import asyncio
import json
import logging
import math
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NoReturn

from dragoman.batching import MicroBatcher
from dragoman.errors import DragomanError, InferenceError, InvalidInput
from dragoman.predictor import Predictor
from dragoman.tasks import Failure, Request, Result

log = logging.getLogger(__name__)

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
TEXT_TYPE = "text/plain"
MAX_FORM_FIELDS = 1_000
# Far more than any request needs, and far from where Python's parser gives up, which depends on who calls it.
MAX_DEPTH = 16


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """A request before anything is decoded; ``form`` instead of a body where a server has split the form already."""

    body: bytes = b""
    content_type: str | None = None
    form: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True)
class Reply:
    """The answer to one request."""

    status: int
    body: dict[str, Any]

    def to_json(self) -> bytes:
        """The body as it goes over the wire; half a surrogate pair, quoted from a request, stays the escape it was."""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


OnComputed = Callable[[Sequence[Any], Sequence[Result | Failure]], None]


def answer(
    predictor: Predictor,
    requests: Sequence[RawRequest],
    *,
    deadline: float | None = None,
    on_computed: OnComputed | None = None,
) -> list[Reply]:
    """Answer requests together, one reply each in order; the good ones share batches, a bad one harms no other.

    What has not begun to be computed at ``deadline``, in seconds of ``time.monotonic``, is answered with an error.
    ``on_computed`` is told the items of all requests with their outcomes.
    """
    parsed = [_parse(predictor, raw) for raw in requests]
    items = [item for entry in parsed if not isinstance(entry, Reply) for item in entry.items]
    try:
        computed = predictor.task.run(items, deadline=deadline)
    except Exception:
        # run() answers for every item; should it break that promise, each request still gets its one answer.
        log.exception("a batch of %d requests failed", len(requests))
        failure = error_reply(_failed())
        return [entry if isinstance(entry, Reply) else failure for entry in parsed]
    if on_computed:
        try:
            on_computed(items, computed)
        except Exception:
            log.exception("a batch is computed, and could not be counted")
    outcomes = iter(computed)
    return [
        entry if isinstance(entry, Reply) else _render(predictor, entry, [next(outcomes) for _ in entry.items])
        for entry in parsed
    ]


async def answer_with(
    batcher: MicroBatcher, predictor: Predictor, raw: RawRequest, *, parse_in: Executor, deadline: float = math.inf
) -> Reply:
    """Answer a request as ``answer`` does, its items in batches with those of all others that are being answered.

    Bodies are read in ``parse_in``, since tokenizing a long text takes time. ``deadline`` is in the event loop's time.
    """
    try:
        # A full queue refuses a request before work is put into reading it.
        batcher.check_room()
        request = await asyncio.get_running_loop().run_in_executor(parse_in, _parse, predictor, raw)
        if isinstance(request, Reply):
            return request
        outcomes = await batcher.submit(request.items, deadline=deadline)
    except DragomanError as error:
        return error_reply(error)
    return _render(predictor, request, outcomes)


def error_reply(error: DragomanError) -> Reply:
    """The reply that tells an error."""
    body = {"error": str(error), "code": error.code}
    return Reply(error.status, body if error.field is None else {**body, "field": error.field})


def _failed() -> InferenceError:
    return InferenceError("the server failed on this request; its log says why")


def _parse(predictor: Predictor, raw: RawRequest) -> Request | Reply:
    try:
        return predictor.task.parse(_decode(raw, predictor))
    except DragomanError as error:
        return error_reply(error)
    except Exception:
        # Nobody foresaw it, and still the other requests of the batch must get their answers.
        log.exception("a request could not be read")
        return error_reply(_failed())


def _render(predictor: Predictor, request: Request, outcomes: Sequence[Result | Failure]) -> Reply:
    """The reply to a request from the outcomes of its items; the error of an input names that input's field."""
    results, remaining = [], iter(outcomes)
    for prepared, field in zip(request.inputs, request.fields, strict=True):
        outcome = predictor.task.assemble(prepared, [next(remaining) for _ in prepared.items])
        if isinstance(outcome, Failure):
            reply = error_reply(outcome.error)
            return Reply(reply.status, {**reply.body, "field": field} if outcome.error.field else reply.body)
        results.append(outcome)
    return Reply(200, predictor.task.render(request, results))


def _decode(raw: RawRequest, predictor: Predictor) -> Any:
    """The payload of a body, by its content type; raises InvalidInput."""
    check_body_size(len(raw.body), predictor.bundle.manifest.limits.max_body_bytes)
    if raw.form is not None:
        return _form_payload(raw.form, predictor)
    media_type = (raw.content_type or JSON_TYPE).partition(";")[0].strip().lower()
    if media_type not in (JSON_TYPE, FORM_TYPE, TEXT_TYPE):
        raise InvalidInput(
            f"the content type {media_type[:60]!r} is not accepted; send {JSON_TYPE}, {TEXT_TYPE} or {FORM_TYPE}",
            code="unsupported_media_type",
        )
    text = _text(raw.body)
    if media_type == TEXT_TYPE:
        return {"q": text}
    if media_type == FORM_TYPE:
        return _form_payload(_split_form(text), predictor)
    return _json_payload(text)


def check_body_size(size: int, limit: int) -> None:
    """Raise InvalidInput when a body of ``size`` bytes is over the limit; servers call it before they read it all."""
    if size > limit:
        raise InvalidInput(f"the body exceeds {limit} bytes; send several smaller requests", code="body_too_large")


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 at byte {error.start}; send UTF-8", code="malformed_json") from error


def _json_payload(text: str) -> Any:
    try:
        payload = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="malformed_json"
        ) from error
    except (RecursionError, ValueError) as error:
        # ValueError: a number with more digits than Python converts.
        raise _beyond_measure() from error
    if _depth(payload) > MAX_DEPTH:
        raise _beyond_measure()
    return payload


def _beyond_measure() -> InvalidInput:
    return InvalidInput("the body is nested too deeply or holds too long a number", code="malformed_json")


def _depth(payload: Any) -> int:
    """How deep the lists and objects of a payload go, without recursion."""
    depth, level = 0, [payload]
    while level := [value for value in level if isinstance(value, dict | list)]:
        depth += 1
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    return depth


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"the body holds {name}, which is not JSON", code="malformed_json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        # Readers differ in which of two equal keys counts; a body that means different things to each is refused.
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidInput(f"the body holds the key {twice[:60]!r} twice", code="malformed_json")
    return result


def not_a_form() -> InvalidInput:
    """The error for a body that its content type calls a form and that is none, as ``curl -d`` sends JSON."""
    return InvalidInput(
        "the body was sent as a form but is none; if it is JSON, add the header 'Content-Type: application/json'",
        code="unsupported_media_type",
    )


def repeated_form_field() -> InvalidInput:
    """The error for a form with a field twice, of which some servers keep the last only."""
    return InvalidInput(
        'a form may hold each field once, as name=value; for several texts send JSON, {"q": ["text", "text"]}'
    )


def _split_form(text: str) -> dict[str, list[str]]:
    try:
        return urllib.parse.parse_qs(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise (not_a_form() if _looks_like_json(text) or "=" not in text else repeated_form_field()) from error


def _form_payload(form: Mapping[str, Sequence[str]], predictor: Predictor) -> dict[str, Any]:
    """Form fields as a payload; what is not text is read as JSON would read it."""
    if any(map(_looks_like_json, form)):
        raise not_a_form()
    if any(len(values) > 1 for values in form.values()):
        raise repeated_form_field()
    return {
        name: value if name in predictor.task.text_fields else _form_value(value) for name, (value,) in form.items()
    }


def _looks_like_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _form_value(value: str) -> Any:
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    # A form has no lists and objects; as text they get the same answer however deep they are.
    return value if isinstance(decoded, dict | list) else decoded
