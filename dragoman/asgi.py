"""What the contract asks of any ASGI server: errors in its form, media types hidden, and clients that leave noticed."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from types import FrameType
from typing import Any, TypeVar

from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.protocol import JSON_TYPE, Reply, error_reply

RETRY_AFTER_S = 1
FRAMEWORK_ERRORS = (404, 405, 500, 503)
CONTENT_TYPE_KEY = "dragoman.content_type"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Answer = TypeVar("Answer")


class ClientGone(Exception):
    """The client closed its connection before it was answered."""


class ContractMiddleware:
    """Keeps a framework's view of a request and its errors away from the contract."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; an error that is not JSON comes from the framework and gets the contract's form."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def send_in_form(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] in FRAMEWORK_ERRORS:
                headers = dict(message["headers"])
                if not headers.get(b"content-type", b"").startswith(JSON_TYPE.encode()):
                    replaced = True
                    await _send_reply(send, _framework_error(message["status"], scope, headers), headers)
            if not replaced:
                await send(message)

        await self._app(_without_content_type(scope), receive, send_in_form)


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
    """The header that tells clients when to come again, where they should."""
    return {"Retry-After": str(RETRY_AFTER_S)} if reply.status == 503 else {}


async def _send_reply(send: Send, reply: Reply, replaced: MutableMapping[bytes, bytes]) -> None:
    body = reply.to_json()
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
    return {**scope, "headers": kept, CONTENT_TYPE_KEY: sent}


def _framework_error(status: int, scope: Message, headers: MutableMapping[bytes, bytes]) -> Reply:
    method, path = scope["method"], scope["path"][:60]
    if status == 404:
        return error_reply(InvalidInput(f"there is nothing at {path!r}; GET / lists what is", code="not_found"))
    if status == 405:
        allowed = headers.get(b"allow", b"").decode("latin-1")
        message = f"{path} does not accept {method}; use {allowed}"
        return error_reply(InvalidInput(message, code="method_not_allowed"))
    if status == 503:
        message = "the server is not ready: it has not translated yet, or it is about to end; ask again in a second"
        return error_reply(UnavailableError(message))
    return error_reply(InferenceError("the server failed on this request; its log says why"))
