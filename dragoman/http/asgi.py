"""What the contract asks of any ASGI server: errors in its form, media types hidden, and clients that leave noticed."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, MutableMapping
from types import FrameType
from typing import Any, TypeVar

from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.http.protocol import Reply, check_body_size, error_reply
from dragoman.items.bodies import JSON_TYPE

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
CONTENT_TYPE_KEY = "dragoman.content_type"
# In a request's scope: what marks an answer as one of the contract, so that all other errors are known as foreign.
ANSWERED_KEY = "dragoman.answered"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Answer = TypeVar("Answer")


class ClientGone(Exception):
    """The client closed its connection before it was answered."""


class ContractMiddleware:
    """A guard between the contract and a framework, whose view of requests and whose errors it replaces."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; every error that was not made by ``mark_answered`` gets the contract's form."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        inner = _without_content_type(scope)
        started = replaced = False

        async def send_in_form(message: Message) -> None:
            nonlocal started, replaced
            started = True
            if message["type"] == "http.response.start" and message["status"] >= 400 and not inner[ANSWERED_KEY]:
                headers = dict(message.get("headers", ()))
                replaced = True
                await _send_reply(send, _framework_error(message["status"], scope, headers), headers)
            if not replaced:
                await send(message)

        try:
            await self._app(inner, receive, send_in_form)
        except Exception:
            if started:
                raise
            log.exception("the framework failed on a request")
            await _send_reply(send, _framework_error(500, scope, {}), {})


def mark_answered(scope: MutableMapping[str, Any]) -> None:
    """Note in a request's scope that its answer, an error perhaps, is one of the contract."""
    scope[ANSWERED_KEY].append(True)


async def read_body(chunks: AsyncIterable[bytes], content_length: str | None, limit: int) -> bytes:
    """Read a body, refused as soon as its announced or received size is over the limit; raises InvalidInput."""
    announced = content_length or ""
    check_body_size(int(announced) if announced.isascii() and announced.isdigit() else 0, limit)
    body = bytearray()
    async for chunk in chunks:
        check_body_size(len(body) + len(chunk), limit)
        body += chunk
    return bytes(body)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await ``work``, and cancel it and raise ClientGone when the client leaves; the body must have been received."""
    working = asyncio.ensure_future(work)
    tasks = (working, asyncio.ensure_future(_disconnection(receive)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def delay_sigterm(seconds: float, on_signal: Callable[[], None]) -> None:
    """Let SIGTERM end this server only ``seconds`` after it came, and call ``on_signal`` at once; from the event loop.

    A server that ends resets the connections whose requests it has not read yet, which may have waited for it a while.
    In a thread other than the main one, which gets no signals, nothing is changed.
    """
    ending = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(ending):
        return
    loop = asyncio.get_running_loop()

    def signalled(number: int, frame: FrameType | None) -> None:
        on_signal()
        loop.call_soon_threadsafe(loop.call_later, seconds, ending, number, frame)

    signal.signal(signal.SIGTERM, signalled)


def retry_headers(reply: Reply) -> dict[str, str]:
    """Return the header that tells clients when to come again, where they should."""
    return {"Retry-After": str(RETRY_AFTER_S)} if reply.status == 503 else {}


async def _send_reply(send: Send, reply: Reply, replaced: MutableMapping[bytes, bytes]) -> None:
    body = reply.content
    headers = {"content-type": JSON_TYPE, "content-length": str(len(body)), **retry_headers(reply)}
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if b"allow" in replaced:
        lines.append((b"allow", replaced[b"allow"]))
    await send({"type": "http.response.start", "status": reply.status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def _without_content_type(scope: Message) -> Message:
    # BentoML picks a deserializer, pickle among them, by this header. What it cannot see it cannot act on.
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), None)
    # A list, because frameworks copy scopes, and a copy holds the same list.
    return {**scope, "headers": kept, CONTENT_TYPE_KEY: sent, ANSWERED_KEY: []}


def _framework_error(status: int, scope: Message, headers: MutableMapping[bytes, bytes]) -> Reply:
    method, path = scope["method"], scope["path"][:60]
    if status == 404:
        return error_reply(InvalidInput(f"there is nothing at {path!r}; GET / lists what is", code="not_found"))
    if status == 405:
        allowed = headers.get(b"allow", b"").decode("latin-1")
        message = f"{path} does not accept {method}; use {allowed}"
        return error_reply(InvalidInput(message, code="method_not_allowed"))
    if status == 503:
        message = (
            "the server is not ready: it is starting, its engine fails, or it is about to end; ask again in a second"
        )
        return error_reply(UnavailableError(message))
    if status < 500:
        # Nothing of the contract comes here; whatever the framework refused, it was the request.
        message = f"the server refused this request with status {status}"
        return Reply(status, {"error": message, "code": "invalid_input"})
    return error_reply(InferenceError("the server failed on this request; its log says why"))
