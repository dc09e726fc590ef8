"""The BentoML service: a packaged bundle behind its task's interface, on http://127.0.0.1:3000 by default.

    python -m model_registry package NAME@champion
    bentoml serve

``dragoman.http.protocol`` alone decides what a body means and what is answered; this file carries bytes to it and back.
"""

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import click
import pydantic
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dragoman.batching.batcher import MicroBatcher
from dragoman.bundle.store import open_bundle
from dragoman.engines.mixing import configured_mixing
from dragoman.engines.selection import configured_engine
from dragoman.errors import ConfigError, DragomanError, InferenceError, UnavailableError
from dragoman.http import openapi
from dragoman.http.asgi import (
    CONTENT_TYPE_KEY,
    ClientGone,
    ContractMiddleware,
    delay_sigterm,
    mark_answered,
    retry_headers,
    while_connected,
)
from dragoman.http.protocol import Reply, answer_with, check_body_size, error_reply
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.live.pointer import Following, followed_directory
from dragoman.live.switch import ModelSwitch
from dragoman.metrics.prometheus import BatcherMetrics, ServingMetrics
from dragoman.predictor import Predictor, load
from dragoman.tasks.base import Task, task_class

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
# What BentoML can add to every request, at half a millisecond each: a line of log, and a trace, which is for nobody
# unless an exporter is configured.
LOGS_REQUESTS = os.environ.get("DRAGOMAN_ACCESS_LOG", "false").lower() == "true"
TRACES_REQUESTS = os.environ.get("DRAGOMAN_TRACING", "false").lower() == "true"
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


def _response(request: Request, reply: Reply) -> Response:
    mark_answered(request.scope)
    return Response(reply.content, status_code=reply.status, media_type=JSON_TYPE, headers=retry_headers(reply))


def _bundle_tag(argument: str) -> str:
    """Return the tag of the stored model to serve: the one asked for, or the one that was packaged last."""
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
    """Return the bundle to serve; a Bento names the model that it was built with, whatever was packaged since."""
    service = _service()
    reference = service.bento.info.all_models[0].to_model() if service.bento else service.inner.reference
    return Path(reference.resolve().path_of("bundle"))


def _input_spec(task: type[Task]) -> Any:
    """List the fields of a request for BentoML's own client and descriptions; no body is checked against them."""

    async def from_http_request(request: Request, serde: object) -> RawInput:
        # Handed over as it is, where BentoML would parse and refuse in its own way.
        return RawInput(request=request)

    fields: dict[str, Any] = {task.input_field: (Any, ...)}
    fields |= {name: (Any, None) for name in task.request_fields if name != task.input_field}
    spec = pydantic.create_model("RequestInput", __base__=bentoml.IODescriptor, **fields)
    spec.from_http_request = staticmethod(from_http_request)
    return spec


class AnyOutput(pydantic.BaseModel, extra="allow"):
    """An answer, for BentoML's own client, which reads whatever JSON comes."""


BUNDLE_TAG = _bundle_tag(bentoml.use_arguments(Arguments).bundle)
TASK = task_class(bentoml.models.get(BUNDLE_TAG).info.labels["task"])


async def _openapi(_: Request) -> Response:
    return JSONResponse(openapi.document(bentoml.get_current_service().predictor.bundle.manifest))


async def _index(_: Request) -> Response:
    return HTMLResponse(INDEX_PAGE)


async def _page(request: Request) -> Response:
    manifest = bentoml.get_current_service().predictor.bundle.manifest
    return JSONResponse(TASK.pages(manifest)[request.scope["path"]].body)


PAGES = Starlette(
    routes=[
        Route("/", _index),
        Route("/docs.json", _openapi),
        *(Route(path, _page) for path in TASK.page_paths),
    ]
)


@bentoml.service(
    name="dragoman",
    workers=1,
    traffic={"timeout": DEADLINE_S + 15},
    http={"host": DEFAULT_HOST},
    logging={"access": {"enabled": LOGS_REQUESTS}},
    tracing={} if TRACES_REQUESTS else {"excluded_urls": ".*"},
)
@bentoml.asgi_app(PAGES, path="/")
class Dragoman:
    """One bundle, served; its task says what requests are."""

    # A class attribute, because BentoML packs the models it finds on the class.
    reference = bentoml.models.BentoModel(BUNDLE_TAG)

    def __init__(self) -> None:
        """Load the bundle, verifying it, and start the warm-up that readiness waits for."""
        # Importing it any earlier would be before BentoML has said where the processes share their figures.
        import prometheus_client

        packaged = open_bundle(_bundle_dir())
        self._metrics = ServingMetrics(prometheus_client)
        self._is_warm = False
        load_here = partial(load, engine=configured_engine(TASK.engines))
        self._following = Following.configured(packaged.manifest, load_here)
        followed = self._following.look(packaged.manifest) if self._following else None
        self._switch = ModelSwitch(followed or load_here(packaged), self._batcher_for)
        self._is_ending = threading.Event()
        self._parsing = ThreadPoolExecutor(PARSING_THREADS, thread_name_prefix="parse")
        self._warm_up = self._parsing.submit(self._answer_once)
        # Its own thread: an engine that hangs must not keep one from reading requests.
        self._probing = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._probe: Future[bool] | None = None

    @property
    def predictor(self) -> Predictor:
        """The model that answers those who come now."""
        return self._switch.predictor

    def _batcher_for(self, predictor: Predictor) -> MicroBatcher:
        manifest, task = predictor.bundle.manifest, predictor.task
        log.info("serving %s %s: %s", manifest.name, manifest.version, dict(predictor.describe()))
        self._metrics.serves(predictor)
        # A model that takes over has been warmed up; the first one is shown as ready when it has.
        self._metrics.ready(self._is_warm)
        return MicroBatcher(
            predictor.computing.batch,
            batch_key=task.batch_key,
            size=task.size,
            capacity=task.capacity,
            observer=BatcherMetrics(self._metrics, task, self._show_health),
        )

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
            configured_engine(TASK.engines)
            configured_mixing()
            _check_port()
        except DragomanError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        try:
            async with asyncio.timeout_at(deadline):
                with self._switch.borrowed() as (predictor, batcher):
                    body = await _read_body(request, predictor.task.limits.max_body_bytes)
                    raw = RawRequest(body=body, content_type=request.scope[CONTENT_TYPE_KEY])
                    answering = answer_with(batcher, predictor, raw, parse_in=self._parsing, deadline=deadline)
                    return _response(request, await while_connected(request.receive, answering))
        except TimeoutError:
            message = f"the request was not received and answered within {DEADLINE_S} seconds; send less at once"
            return _response(request, error_reply(UnavailableError(message, code="deadline_exceeded")))
        except DragomanError as error:
            return _response(request, error_reply(error))
        except (ClientDisconnect, ClientGone):
            # For the log: nobody is there to read it.
            mark_answered(request.scope)
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception:
            log.exception("a request failed")
            return _response(
                request, error_reply(InferenceError("the server failed on this request; its log says why"))
            )

    # BentoML's clients call it by its name, which is the route's.
    answer.__name__ = TASK.route.rpartition("/")[2]
    locals()[answer.__name__] = bentoml.api(
        answer, route=TASK.route, input_spec=_input_spec(TASK), output_spec=AnyOutput
    )

    def _answer_once(self) -> None:
        try:
            self.predictor.warm_up()
            # What is there by now stays: looking through it again and again would make the event loop pause.
            gc.collect()
            gc.freeze()
        except DragomanError:
            log.exception("the warm-up failed")
            raise
        self._is_warm = True
        # Where nobody asks for the readiness, it would be shown with the first request only.
        self._show_health()

    async def __is_ready__(self) -> bool:
        """Tell whether the warm-up has succeeded, the engine works, and the server is not about to end."""
        return (
            not self._is_ending.is_set()
            and self._warm_up.done()
            and self._warm_up.exception() is None
            and self._engine_works()
        )

    def _engine_works(self) -> bool:
        """Tell it from the last batches, and try an engine that failed again: without requests nothing else would."""
        computing = self.predictor.computing
        if not computing.is_healthy and (self._probe is None or self._probe.done()):
            self._probe = self._probing.submit(computing.probe)
        self._show_health()
        return computing.is_healthy

    def _show_health(self) -> None:
        self._metrics.ready(self._is_warm and self.predictor.computing.is_healthy)

    async def __is_alive__(self) -> bool:
        """Tell whether the warm-up has not failed."""
        return not self._warm_up.done() or self._warm_up.exception() is None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Let the requests in hand finish, and free the model."""
        if self._following:
            self._follower.cancel()
        await self._switch.close()
        self._parsing.shutdown()
        self._probing.shutdown(wait=False)


async def _read_body(request: Request, limit: int) -> bytes:
    """Read the body, refused as soon as its announced or received size is over the limit; raises InvalidInput."""
    announced = request.headers.get("content-length", "")
    check_body_size(int(announced) if announced.isascii() and announced.isdigit() else 0, limit)
    body = bytearray()
    async for chunk in request.stream():
        check_body_size(len(body) + len(chunk), limit)
        body += chunk
    return bytes(body)


def _service() -> Any:
    """Return what the decorators made of the class; type checkers see the class alone."""
    return Dragoman


_service().add_asgi_middleware(ContractMiddleware)
