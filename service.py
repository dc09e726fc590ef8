"""The BentoML service: a packaged bundle behind LibreTranslate's interface, on http://127.0.0.1:3000 by default.

    python -m model_registry package translation-en-de@champion
    bentoml serve

``dragoman.protocol`` alone decides what a body means and what is answered; this file carries bytes to it and back.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import pydantic
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dragoman import openapi
from dragoman.bundle import open_bundle
from dragoman.errors import DragomanError, InferenceError, InvalidInput, UnavailableError
from dragoman.predictor import load
from dragoman.protocol import JSON_TYPE, RawRequest, Reply, answer, check_body_size, error_reply

log = logging.getLogger("bentoml.service.dragoman")

# From the first byte of a request to its answer. BentoML's own limit below stands behind this one, because its answer
# does not have the form of the contract and leaves the thread running all the same.
DEADLINE_S = 60
# Requests that may wait for a thread; the next one is turned away, since an answer that comes too late helps nobody.
MAX_WAITING = 64
RETRY_AFTER_S = 1
CLIENT_CLOSED_REQUEST = 499
FRAMEWORK_ERRORS = (404, 405, 500, 503)
# The label that `python -m model_registry package` puts on the models it stores.
BUNDLE_LABEL = "dragoman-bundle"
# The names that T5 itself gives its languages; any other language goes by its code.
LANGUAGE_NAMES = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian"}
CONTENT_TYPE_KEY = "dragoman.content_type"
# BentoML's page loads a tracker from another site; this one shows the same interface without.
INDEX_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Dragoman</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script src="./static_content/swagger-ui-standalone-preset.js"></script>
<script src="./static_content/swagger-initializer.js"></script></body>
</html>
"""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Arguments(pydantic.BaseModel, extra="forbid"):
    """What ``bentoml serve --arg`` and ``bentoml build --arg`` accept."""

    bundle: str = pydantic.Field("", description="The packaged model's tag; the one packaged last when left out")


class RawInput(bentoml.IODescriptor):  # type: ignore[misc]
    """The undecoded request."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    request: Request


class TranslateInput(bentoml.IODescriptor):  # type: ignore[misc]
    """The fields of a request, for BentoML's own client and descriptions; bodies are never checked against them."""

    q: str | list[str]
    source: str | None = None
    target: str | None = None
    format: str | None = None
    alternatives: int | None = None
    api_key: str | None = None
    num_beams: int | None = None
    max_new_tokens: int | None = None
    length_penalty: float | None = None
    return_scores: bool | None = None

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> RawInput:
        """Hand the request over as it is, where BentoML would parse and refuse in its own way."""
        return RawInput(request=request)


class TranslateOutput(pydantic.BaseModel):
    """The fields of an answer, for BentoML's own client and descriptions."""

    translatedText: str | list[str]  # noqa: N815 - LibreTranslate's name
    alternatives: list[str] | list[list[str]] | None = None
    scores: list[float] | list[list[float]] | None = None
    finish_reason: str | list[str]
    model: dict[str, str | None]


class ContractMiddleware:
    """Keeps BentoML's view of a request and its errors away from the contract."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; an error that is not JSON comes from the framework and gets the contract's form."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def send_in_form(message: MutableMapping[str, Any]) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] in FRAMEWORK_ERRORS:
                headers = dict(message["headers"])
                if not headers.get(b"content-type", b"").startswith(JSON_TYPE.encode()):
                    replaced = True
                    response = _response(_framework_error(message["status"], scope, headers))
                    if b"allow" in headers:
                        response.headers["Allow"] = headers[b"allow"].decode("latin-1")
                    await response(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(_without_content_type(scope), receive, send_in_form)


def _without_content_type(scope: Scope) -> Scope:
    # BentoML picks a deserializer, pickle among them, by this header. What it cannot see it cannot act on.
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), None)
    return {**scope, "headers": kept, CONTENT_TYPE_KEY: sent}


def _framework_error(status: int, scope: Scope, headers: dict[bytes, bytes]) -> Reply:
    method, path = scope["method"], scope["path"][:60]
    if status == 404:
        return error_reply(InvalidInput(f"there is nothing at {path!r}; GET / lists what is", code="not_found"))
    if status == 405:
        allowed = headers.get(b"allow", b"").decode("latin-1")
        message = f"{path} does not accept {method}; use {allowed}"
        return error_reply(InvalidInput(message, code="method_not_allowed"))
    if status == 503:
        return error_reply(UnavailableError("no warm-up translation has succeeded yet; ask again in a second"))
    return error_reply(InferenceError("the server failed on this request; its log says why"))


def _response(reply: Reply) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if reply.status == 503 else None
    return Response(reply.to_json(), status_code=reply.status, media_type=JSON_TYPE, headers=headers)


def _bundle_tag(argument: str) -> str:
    """The tag of the stored model to serve: the one asked for, or the one that was packaged last."""
    if argument:
        try:
            return str(bentoml.models.get(argument).tag)
        except bentoml.exceptions.NotFound as error:
            message = f"the bundle {argument} is not packaged here; `bentoml models list` shows those that are"
            raise bentoml.exceptions.NotFound(message) from error
    packaged = [model for model in bentoml.models.list() if BUNDLE_LABEL in model.info.labels]
    if not packaged:
        raise bentoml.exceptions.NotFound(
            "no model is packaged yet; run `python -m model_registry package NAME@champion`, or give a bundle's path"
        )
    # Packaging touches the folder even when the model is in the store already, so a rollback counts as the last.
    return str(max(packaged, key=lambda model: Path(model.path).stat().st_mtime_ns).tag)


def _bundle_dir() -> Path:
    """The bundle to serve; a Bento names the model that it was built with, whatever was packaged since."""
    service = _service()
    reference = service.bento.info.all_models[0].to_model() if service.bento else service.inner.reference
    return Path(reference.resolve().path_of("bundle"))


async def _languages(_: Request) -> Response:
    languages = bentoml.get_current_service().predictor.bundle.manifest.languages
    # The target is listed without targets of its own, because clients look its name up here.
    pairs = {languages.source: [languages.target], languages.target: []}
    return JSONResponse(
        [{"code": code, "name": LANGUAGE_NAMES.get(code, code), "targets": pairs[code]} for code in pairs]
    )


async def _openapi(_: Request) -> Response:
    return JSONResponse(openapi.document(bentoml.get_current_service().predictor.bundle.manifest))


async def _index(_: Request) -> Response:
    return HTMLResponse(INDEX_PAGE)


PAGES = Starlette(routes=[Route("/", _index), Route("/docs.json", _openapi), Route("/languages", _languages)])


@bentoml.service(name="dragoman", workers=1, traffic={"timeout": DEADLINE_S + 15}, http={"host": "127.0.0.1"})
@bentoml.asgi_app(PAGES, path="/")
class Translator:
    """Translation with one bundle."""

    # A class attribute, because BentoML packs the models it finds on the class.
    reference = bentoml.models.BentoModel(_bundle_tag(bentoml.use_arguments(Arguments).bundle))

    def __init__(self) -> None:
        """Load the bundle, verifying it, and start the warm-up translation that readiness waits for."""
        self.predictor = load(_bundle_dir())
        described = self.predictor.describe()
        parallel = int(described["parallel"])
        # Threads beyond what the engine computes at once would only wait inside it, uncounted.
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="translate")
        self._places = threading.BoundedSemaphore(parallel + MAX_WAITING)
        self._warm_up = self._pool.submit(self._translate_once)
        manifest = self.predictor.bundle.manifest
        log.info("serving %s %s: %s", manifest.name, manifest.version, dict(described))

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def verify() -> None:
        """Refuse to start over a damaged bundle, before BentoML starts workers that would fail again and again."""
        try:
            open_bundle(_bundle_dir())
        except DragomanError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    @bentoml.api(route="/translate", input_spec=TranslateInput, output_spec=TranslateOutput)  # type: ignore[untyped-decorator]
    async def translate(self, request: Request) -> Response:
        """Translate a text, or a list of texts."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                return _response(await self._reply(request))
        except TimeoutError:
            message = f"the request was not received and answered within {DEADLINE_S} seconds; send less text at once"
            return _response(error_reply(UnavailableError(message, code="deadline_exceeded")))
        except DragomanError as error:
            return _response(error_reply(error))
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)

    async def _reply(self, request: Request) -> Reply:
        body = await _read_body(request, self.predictor.bundle.manifest.limits.max_body_bytes)
        raw = RawRequest(body=body, content_type=request.scope[CONTENT_TYPE_KEY])
        if not self._places.acquire(blocking=False):
            message = f"{MAX_WAITING} requests are waiting already; send this one again after {RETRY_AFTER_S} second"
            raise UnavailableError(message, code="overloaded")
        job = self._pool.submit(answer, self.predictor, [raw])
        # The place is free when the thread is, which after a missed deadline is later than the answer.
        job.add_done_callback(lambda _: self._places.release())
        (reply,) = await asyncio.wrap_future(job)
        return reply

    def _translate_once(self) -> None:
        try:
            self.predictor.warm_up()
        except DragomanError:
            log.exception("the warm-up translation failed")
            raise

    async def __is_ready__(self) -> bool:
        """Whether the warm-up translation has succeeded."""
        return self._warm_up.done() and self._warm_up.exception() is None

    async def __is_alive__(self) -> bool:
        """Whether the warm-up translation has not failed."""
        return not self._warm_up.done() or self._warm_up.exception() is None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let the requests in hand finish, and free the model."""
        self._pool.shutdown()
        self.predictor.close()


async def _read_body(request: Request, limit: int) -> bytes:
    """The body, refused as soon as its announced or received size is over the limit; raises InvalidInput."""
    announced = request.headers.get("content-length", "")
    check_body_size(int(announced) if announced.isascii() and announced.isdigit() else 0, limit)
    body = bytearray()
    async for chunk in request.stream():
        check_body_size(len(body) + len(chunk), limit)
        body += chunk
    return bytes(body)


def _service() -> Any:
    """What the decorators made of the class, of which type checkers see the class alone."""
    return Translator


_service().add_asgi_middleware(ContractMiddleware)
