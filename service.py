"""The BentoML service: a packaged bundle behind LibreTranslate's interface, on http://127.0.0.1:3000 by default.

    python -m model_registry package translation-en-de@champion
    bentoml serve

``dragoman.protocol`` alone decides what a body means and what is answered; this file carries bytes to it and back.
"""

import asyncio
import logging
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import click
import pydantic
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dragoman import openapi
from dragoman.asgi import (
    CONTENT_TYPE_KEY,
    ClientGone,
    ContractMiddleware,
    delay_sigterm,
    retry_headers,
    while_connected,
)
from dragoman.batching import MicroBatcher
from dragoman.bundle import open_bundle
from dragoman.errors import ConfigError, DragomanError, UnavailableError
from dragoman.following import Following, followed_directory
from dragoman.model_switch import ModelSwitch
from dragoman.predictor import Predictor, load
from dragoman.protocol import JSON_TYPE, RawRequest, Reply, answer_with, check_body_size, error_reply
from dragoman.serving_metrics import BatcherMetrics, ServingMetrics

log = logging.getLogger("bentoml.service.dragoman")

DEFAULT_HOST = "127.0.0.1"
# From the first byte of a request to its answer. BentoML's own limit below stands behind this one, because its answer
# does not have the form of the contract.
DEADLINE_S = 60
# How long the server goes on after SIGTERM, not ready any more, for requests that are on their way.
LINGER_S = 1.0
# Two, so that a short body need not wait until a long one is tokenized.
PARSING_THREADS = 2
CLIENT_CLOSED_REQUEST = 499
# The label that `python -m model_registry package` puts on the models it stores.
BUNDLE_LABEL = "dragoman-bundle"
# The names that T5 itself gives its languages; any other language goes by its code.
LANGUAGE_NAMES = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian"}
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


def _response(reply: Reply) -> Response:
    return Response(reply.to_json(), status_code=reply.status, media_type=JSON_TYPE, headers=retry_headers(reply))


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


def _check_port() -> None:
    """Raise ConfigError when `bentoml serve` cannot listen where it was told to; BentoML itself shows a traceback."""
    command = click.get_current_context(silent=True)
    if command and {"host", "port"} <= command.params.keys():
        host, port = command.params["host"] or DEFAULT_HOST, command.params["port"]
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            message = f"cannot listen on {host}:{port}: {reason}; give another --port, or stop its user"
            raise ConfigError(message) from error


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


@bentoml.service(name="dragoman", workers=1, traffic={"timeout": DEADLINE_S + 15}, http={"host": DEFAULT_HOST})
@bentoml.asgi_app(PAGES, path="/")
class Translator:
    """Translation with one bundle."""

    # A class attribute, because BentoML packs the models it finds on the class.
    reference = bentoml.models.BentoModel(_bundle_tag(bentoml.use_arguments(Arguments).bundle))

    def __init__(self) -> None:
        """Load the bundle, verifying it, and start the warm-up translation that readiness waits for."""
        # Importing it any earlier would be before BentoML has said where the processes share their figures.
        import prometheus_client

        packaged = open_bundle(_bundle_dir())
        self._metrics = ServingMetrics(prometheus_client)
        self._following = Following.configured(packaged.manifest, load)
        followed = self._following.look(packaged.manifest) if self._following else None
        self._switch = ModelSwitch(followed or load(packaged), self._batcher_for)
        self._is_ending = threading.Event()
        self._parsing = ThreadPoolExecutor(PARSING_THREADS, thread_name_prefix="parse")
        self._warm_up = self._parsing.submit(self._translate_once)

    @property
    def predictor(self) -> Predictor:
        """The model that answers those who come now."""
        return self._switch.predictor

    def _batcher_for(self, predictor: Predictor) -> MicroBatcher:
        manifest, task, described = predictor.bundle.manifest, predictor.task, predictor.describe()
        log.info("serving %s %s: %s", manifest.name, manifest.version, dict(described))
        self._metrics.serves(manifest)
        observer = BatcherMetrics(self._metrics, task.output_tokens)
        return MicroBatcher(task.run, batch_key=task.batch_key, workers=int(described["parallel"]), observer=observer)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def begin(self) -> None:
        """Look out for SIGTERM and, where DRAGOMAN_FOLLOW says so, for what an alias of the registry names."""
        delay_sigterm(LINGER_S, self._is_ending.set)
        if self._following:
            show = self._metrics.follows(self._following)
            self._follower = asyncio.create_task(self._switch.follow(self._following, show))

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def verify() -> None:
        """Refuse what can never start, before BentoML starts workers that would fail again and again."""
        try:
            open_bundle(_bundle_dir())
            followed_directory()
            _check_port()
        except DragomanError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    @bentoml.api(route="/translate", input_spec=TranslateInput, output_spec=TranslateOutput)  # type: ignore[untyped-decorator]
    async def translate(self, request: Request) -> Response:
        """Translate a text, or a list of texts."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        try:
            async with asyncio.timeout_at(deadline):
                with self._switch.borrowed() as (predictor, batcher):
                    body = await _read_body(request, predictor.bundle.manifest.limits.max_body_bytes)
                    raw = RawRequest(body=body, content_type=request.scope[CONTENT_TYPE_KEY])
                    answering = answer_with(batcher, predictor, raw, parse_in=self._parsing, deadline=deadline)
                    return _response(await while_connected(request.receive, answering))
        except TimeoutError:
            message = f"the request was not received and answered within {DEADLINE_S} seconds; send less text at once"
            return _response(error_reply(UnavailableError(message, code="deadline_exceeded")))
        except DragomanError as error:
            return _response(error_reply(error))
        except (ClientDisconnect, ClientGone):
            return Response(status_code=CLIENT_CLOSED_REQUEST)

    def _translate_once(self) -> None:
        try:
            self.predictor.warm_up()
        except DragomanError:
            log.exception("the warm-up translation failed")
            raise

    async def __is_ready__(self) -> bool:
        """Whether the warm-up translation has succeeded, and the server is not about to end."""
        return not self._is_ending.is_set() and self._warm_up.done() and self._warm_up.exception() is None

    async def __is_alive__(self) -> bool:
        """Whether the warm-up translation has not failed."""
        return not self._warm_up.done() or self._warm_up.exception() is None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Let the requests in hand finish, and free the model."""
        if self._following:
            self._follower.cancel()
        await self._switch.close()
        self._parsing.shutdown()


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
