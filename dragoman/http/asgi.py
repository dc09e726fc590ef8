"""The contract at an ASGI server: errors in its form, bodies within limits, work cancelled when its client leaves."""

import asyncio
import logging
import signal
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, MutableMapping
from types import FrameType
from typing import Any, TypeVar

from dragoman.errors import InvalidInput, UnavailableError
from dragoman.http.protocol import Reply, check_body_size, error_reply, server_fault
from dragoman.items.bodies import JSON_TYPE, RawRequest

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
CONTENT_TYPE_KEY = "dragoman.content_type"
# A mark in a request's scope that its answer is one of the contract; errors without it are the framework's.
ANSWERED_KEY = "dragoman.answered"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Answer = TypeVar("Answer")


class ClientGone(Exception):
    """A client that closed its connection before it was answered."""


class ContractMiddleware:
    """A guard round a framework: hides the content type from it, and replaces its errors.

    A request passes with a scope of its own, in which the framework finds no content type and ``mark_answered`` leaves
    its mark. A response of status 400 or more without the mark is dropped, and one in the contract's form sent instead.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; every error without the mark of ``mark_answered`` gets the contract's form."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # BentoML picks a deserializer, pickle among them, by the content type. It cannot act on a header it cannot see.
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), None)
        # The mark is a list, because frameworks copy scopes, and a copy holds the same list.
        inner = {**scope, "headers": kept, CONTENT_TYPE_KEY: sent, ANSWERED_KEY: []}
        started = replaced = False

        async def send_in_form(message: Message) -> None:
            nonlocal started, replaced
            started = True
            if message["type"] == "http.response.start" and message["status"] >= 400 and not inner[ANSWERED_KEY]:
                replaced = True
                await _replace_error(send, message["status"], scope, dict(message.get("headers", ())))
            if not replaced:
                await send(message)

        try:
            await self._app(inner, receive, send_in_form)
        except Exception:
            if started:
                raise
            log.exception("the framework failed on a request")
            await _replace_error(send, 500, scope, {})


def mark_answered(scope: MutableMapping[str, Any]) -> None:
    """Note in a request's scope that its answer, an error perhaps, is one of the contract."""
    scope[ANSWERED_KEY].append(True)


class BodyRoom:
    """The memory for bodies that arrive or wait to be parsed, of all connections; taken on one event loop.

    Only bytes that have come take room, so a client cannot hold it by what it announces.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._taken = 0
        # Any thread may drop a body, and the collector at any moment: a deque takes what is given back without a lock.
        self._given_back: deque[int] = deque()

    @property
    def taken(self) -> int:
        """The bytes that are taken now."""
        while self._given_back:
            self._taken -= self._given_back.popleft()
        return self._taken

    def take(self, size: int) -> None:
        """Take room for so many bytes more; raises UnavailableError where there is none."""
        if self.taken + size > self.max_bytes:
            message = f"bodies of {self.max_bytes} bytes together wait to be read; send this request again in a moment"
            raise UnavailableError(message, code="overloaded")
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give back room that was taken; threads may call it."""
        self._given_back.append(size)

    def give_back_with(self, raw: RawRequest) -> RawRequest:
        """Give back the room of a request's body when nothing holds the request any more."""
        weakref.finalize(raw, self.give_back, raw.size).atexit = False
        return raw


async def read_body(
    chunks: AsyncIterable[bytes], content_length: str | None, limit: int, room: BodyRoom | None = None
) -> bytes:
    """Read a body, refused as soon as its announced or received size is over the limit.

    Its size is taken of ``room``. Raises InvalidInput, and UnavailableError where there is no room.
    """
    announced = content_length or ""
    check_body_size(int(announced) if announced.isascii() and announced.isdigit() else 0, limit)
    body = bytearray()
    try:
        async for chunk in chunks:
            check_body_size(len(body) + len(chunk), limit)
            if room:
                room.take(len(chunk))
            body += chunk
    except BaseException:
        # A client that leaves, or is too slow, too.
        if room:
            room.give_back(len(body))
        raise
    return bytes(body)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await ``work``, and cancel it and raise ClientGone when the client leaves; the body must have been received."""

    async def disconnection() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working = asyncio.ensure_future(work)
    tasks = (working, asyncio.ensure_future(disconnection()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def delay_sigterm(seconds: float, on_signal: Callable[[], None]) -> None:
    """Let SIGTERM end this server ``seconds`` after it came, and call ``on_signal`` at once; call it in the event loop.

    A server that ends resets the connections whose requests it has not read yet, which may have waited for a while.
    In a thread other than the main one, which gets no signals, this does nothing.
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
    """Return the header that tells clients when to try again, where they should."""
    return {"Retry-After": str(RETRY_AFTER_S)} if reply.status == 503 else {}


async def _replace_error(send: Send, status: int, scope: Message, replaced: MutableMapping[bytes, bytes]) -> None:
    """Send the contract's form of a framework's error, which had the headers ``replaced``."""
    reply = _framework_error(status, scope, replaced)
    headers = {"content-type": JSON_TYPE, "content-length": str(len(reply.content)), **retry_headers(reply)}
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if b"allow" in replaced:
        lines.append((b"allow", replaced[b"allow"]))
    await send({"type": "http.response.start", "status": reply.status, "headers": lines})
    await send({"type": "http.response.body", "body": reply.content})


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
        # Never an error of the contract; whatever the framework refused, it was the request.
        message = f"the server refused this request with status {status}"
        return Reply(status, {"error": message, "code": "invalid_input"})
    return error_reply(server_fault())
