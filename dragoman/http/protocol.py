"""The protocol of all servers: one request body in, one status and JSON body out.

The servers hand over the bytes and the content type as they came. Every error has one form,
``{"error": "sentence", "code": "text_too_long", "field": "q[3]"}``, with the HTTP status that goes with the code.
There are two ways in, over the same parsing and rendering::

    answer       a batch of requests that came together (TorchServe); blocks until all are computed
    answer_with  one request among others in flight (BentoML); its items share batches with theirs
"""

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dragoman.batching.batcher import MicroBatcher
from dragoman.errors import DragomanError, InferenceError, InvalidInput
from dragoman.items.bodies import RawRequest
from dragoman.items.outcomes import Failure, Result
from dragoman.predictor import Predictor
from dragoman.tasks.base import Request

log = logging.getLogger(__name__)

# Entries up to which the event loop renders an answer itself: handing so few to a thread costs as much.
RENDERED_AT_ONCE = 200


# The JSON of an answer: an object, as that of every error is, or a list.
Body = dict[str, Any] | list[Any]


@dataclass(frozen=True)
class Reply:
    """The answer to one request."""

    status: int
    body: Body

    @property
    def error(self) -> Mapping[str, Any]:
        """The body of an error; empty for an answer, which has no code."""
        return self.body if isinstance(self.body, dict) and "code" in self.body else {}

    @cached_property
    def content(self) -> bytes:
        """The body as it goes over the wire; half a surrogate pair, quoted from a request, stays the escape it was."""
        text = json.dumps(self.body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


OnComputed = Callable[[Sequence[Any], Sequence[Result | Failure]], None]


def answer(
    predictor: Predictor,
    requests: Sequence[RawRequest],
    *,
    deadline: float | None = None,
    on_computed: OnComputed | None = None,
) -> list[Reply]:
    """Answer requests together, one reply each in order; the good ones share batches, a bad one harms no other.

    Items not yet in a batch at ``deadline``, in seconds of ``time.monotonic``, get an error. ``on_computed`` gets the
    items of all requests with their outcomes.
    """
    parsed = [_parse(predictor, raw) for raw in requests]
    items = [item for entry in parsed if not isinstance(entry, Reply) for item in entry.items]
    computed: Sequence[Result | Failure]
    try:
        computed = predictor.run(items, deadline=deadline)
        if len(computed) != len(items):
            raise InferenceError(f"{len(items)} items had {len(computed)} outcomes")
    except Exception:
        # run() answers for every item; should it break that promise, each request still gets its one answer.
        log.exception("a batch of %d items failed", len(items))
        computed = [Failure(server_fault())] * len(items)
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
    """Answer a request as ``answer`` does, its items in batches with those of all other requests in flight.

    Bodies that take long to parse are parsed in ``parse_in``, and long answers rendered there, since others would wait.
    ``deadline`` is in the event loop's time.
    """
    loop = asyncio.get_running_loop()
    try:
        # A full queue refuses a request before work is put into reading it.
        batcher.check_room()
        if raw.form is None and raw.size <= predictor.task.quick_body_bytes:
            request = _parse(predictor, raw)
        else:
            request = await loop.run_in_executor(parse_in, _parse, predictor, raw)
        # Its items may wait for long, and its body takes many times their memory.
        del raw
        if isinstance(request, Reply):
            return request
        outcomes = await batcher.submit(request.items, deadline=deadline)
    except DragomanError as error:
        return error_reply(error)
    except Exception:
        log.exception("a request could not be computed")
        return error_reply(server_fault())
    if predictor.task.answer_size(request) <= RENDERED_AT_ONCE:
        return _render(predictor, request, outcomes)
    return await loop.run_in_executor(parse_in, _render, predictor, request, outcomes)


def error_reply(error: DragomanError, *, field: str | None = None) -> Reply:
    """Make the reply that carries an error, with the field that it names, or another one."""
    body = {"error": str(error), "code": error.code}
    field = field or error.field
    return Reply(error.status, body if field is None else {**body, "field": field})


def server_fault() -> InferenceError:
    """Return the error for a fault of the server's own code, which its log explains and the client need not know."""
    return InferenceError("the server failed on this request; its log says why")


def _parse(predictor: Predictor, raw: RawRequest) -> Request | Reply:
    try:
        check_body_size(raw.size, predictor.task.limits.max_body_bytes)
        request = predictor.task.parse(predictor.task.read(raw))
        # Collected here, off the event loop: a document has thousands.
        _ = request.items
        return request
    except DragomanError as error:
        return error_reply(error)
    except Exception:
        # Whatever it was, the other requests of the batch must get their answers.
        log.exception("a request could not be read")
        return error_reply(server_fault())


def _render(predictor: Predictor, request: Request, outcomes: Sequence[Result | Failure]) -> Reply:
    """Make the reply to a request from the outcomes of its items; the error of an input names that input's field."""
    try:
        results, remaining = [], iter(outcomes)
        for prepared, field in zip(request.inputs, request.fields, strict=True):
            outcome = predictor.task.assemble(prepared, [next(remaining) for _ in prepared.items])
            if isinstance(outcome, Failure):
                return error_reply(outcome.error, field=field if outcome.error.field else None)
            results.append(outcome)
        reply = Reply(200, predictor.task.render(request, results))
        # Encoded here, where a value that is no JSON can still become an error.
        _ = reply.content
        return reply
    except Exception:
        # A fault of the task's own code.
        log.exception("a request is computed, and could not be answered")
        return error_reply(server_fault())


def check_body_size(size: int, limit: int) -> None:
    """Raise InvalidInput when a body of ``size`` bytes is over the limit; servers call it before they read it all."""
    if size > limit:
        raise InvalidInput(f"the body exceeds {limit} bytes; send several smaller requests", code="body_too_large")
