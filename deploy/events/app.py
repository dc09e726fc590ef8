"""The receiver's HTTP interface: ``POST /events`` for MLflow, ``GET /events`` for people, and two probes.

Errors have the form of the model servers, ``{"error": "sentence", "code": "unauthorized"}``.
"""

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.events.journal import Event, Journal, now
from deploy.events.signature import check_delivery
from dragoman.bundle.manifest import NAME_PATTERN
from dragoman.errors import DragomanError, InferenceError, InvalidInput, UnavailableError
from dragoman.http.asgi import read_body
from dragoman.http.protocol import error_reply
from dragoman.items.bodies import JSON_TYPE

MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 10.0
SHOWN = 100
CLIENT_CLOSED_REQUEST = 499


@dataclasses.dataclass(frozen=True)
class Receiver:
    """The state and settings behind the answers; ``clock`` gives seconds since 1970."""

    journal: Journal
    secret: bytes
    max_age_s: float
    is_building: Callable[[], bool]
    report: Callable[[str], None]
    clock: Callable[[], float] = time.time


def application(receiver: Receiver) -> Starlette:
    """Make the receiver's ASGI application."""

    async def receive(request: Request) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != JSON_TYPE:
            raise InvalidInput(
                f"the content type {media_type[:60]!r} is not accepted; send {JSON_TYPE}", code="unsupported_media_type"
            )
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await read_body(request.stream(), request.headers.get("content-length"), MAX_BODY_BYTES)
        except TimeoutError as error:
            message = f"the body did not arrive within {BODY_WITHIN_S:g} seconds"
            raise UnavailableError(message, code="deadline_exceeded") from error
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        status, answer = await run_in_threadpool(_receive, receiver, dict(request.headers), body)
        return JSONResponse(answer, status)

    async def events(_: Request) -> Response:
        return JSONResponse({"events": [dataclasses.asdict(event) for event in receiver.journal.events()[:SHOWN]]})

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        if not receiver.is_building():
            raise UnavailableError("the builder has ended; restart the receiver")
        if not receiver.journal.is_writable():
            raise UnavailableError("events cannot be kept; make the state directory writable")
        return JSONResponse({"status": "ready"})

    async def refuse(request: Request, error: Exception) -> Response:
        """Answer errors in the form of the contract: ours, the framework's, and those that nobody foresaw."""
        if isinstance(error, HTTPException):
            code = "method_not_allowed" if error.status_code == 405 else "not_found"
            there = "POST or GET /events, GET /livez, GET /readyz"
            message = f"there is no {request.method} of {request.url.path[:60]!r}; {there}"
            reply = error_reply(InvalidInput(message, code=code))
            return Response(reply.content, reply.status, error.headers, JSON_TYPE)
        if not isinstance(error, DragomanError):
            # Its traceback goes to the log in any case.
            error = InferenceError("the receiver failed on this request; its log says why")
        reply = error_reply(error)
        # The rest of a body that was refused unread would be taken for the next request.
        return Response(reply.content, reply.status, {"connection": "close"}, JSON_TYPE)

    return Starlette(
        routes=[
            Route("/events", receive, methods=["POST"]),
            Route("/events", events),
            Route("/livez", alive),
            Route("/readyz", ready),
        ],
        exception_handlers=dict.fromkeys((DragomanError, HTTPException, Exception), refuse),
    )


def parse_move(body: bytes) -> tuple[str, str] | str:
    """Return the model and version that ``champion`` moved to, or the reason to ignore it; raises InvalidInput."""
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the body is not JSON in UTF-8", code="malformed_json") from error
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        raise InvalidInput("the body must be an object with entity, action and data", field="data")
    kind = f"{content.get('entity')}.{content.get('action')}"[:80]
    if kind != "model_version_alias.created":
        return f"the event is {kind}"
    if data.get("alias") != "champion":
        return "the alias is not champion"
    name, version = data.get("name"), data.get("version")
    if not isinstance(name, str) or not isinstance(version, str) or not (version.isascii() and version.isdigit()):
        raise InvalidInput("data must hold the model's name and the number of its version as texts", field="data")
    if not NAME_PATTERN.fullmatch(name):
        # Other people's models may be in the same registry; ours go by names that are safe in a command line.
        return "the model is not one of Dragoman's"
    return name, version


def _receive(receiver: Receiver, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    delivery_id = check_delivery(
        headers, body, secret=receiver.secret, now=receiver.clock(), max_age_s=receiver.max_age_s
    )
    moved = parse_move(body)
    if isinstance(moved, str):
        return 200, {"status": "ignored", "reason": moved}
    model, version = moved
    try:
        is_new = receiver.journal.accept(
            Event(delivery_id=delivery_id, model=model, version=version, received_at=now())
        )
    except DragomanError as error:
        # MLflow delivers again after a 503.
        raise UnavailableError(f"the event could not be kept: {error}") from error
    if not is_new:
        return 200, {"status": "repeated", "delivery_id": delivery_id}
    receiver.report(f"{model}: champion is version {version} now ({delivery_id})")
    return 202, {"status": "received", "delivery_id": delivery_id}
