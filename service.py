"""The BentoML service: a packaged bundle behind its task's interface, on http://127.0.0.1:3000 by default.

    python -m model_registry package NAME@champion
    bentoml serve

``dragoman.http.protocol`` alone decides what a body means and how it is answered; this file carries bytes there and
back::

    ContractMiddleware  hides the content type from BentoML, gives foreign errors the contract's form
      Dragoman.answer   borrows the current model and its batcher, reads the body, notices when the client leaves
        answer_with     parses (long bodies in a thread), waits for batches, renders
"""

import asyncio
import gc
import logging
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import bentoml
import pydantic
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dragoman.batching.batcher import MicroBatcher
from dragoman.bundle.store import BUNDLE_LABEL, open_bundle
from dragoman.engines.mixing import configured_mixing
from dragoman.engines.selection import configured_engine
from dragoman.errors import DragomanError, UnavailableError
from dragoman.http import openapi
from dragoman.http.asgi import (
    CONTENT_TYPE_KEY,
    BodyRoom,
    ClientGone,
    ContractMiddleware,
    delay_sigterm,
    mark_answered,
    read_body,
    retry_headers,
    while_connected,
)
from dragoman.http.protocol import Reply, answer_with, error_reply, server_fault
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.live.pointer import Following, followed_directory
from dragoman.live.switch import ModelSwitch
from dragoman.metrics.prometheus import BatcherMetrics, ServingMetrics
from dragoman.predictor import Predictor, load
from dragoman.tasks.base import Task, task_class

log = logging.getLogger("bentoml.service.dragoman")

DEFAULT_HOST = "127.0.0.1"
# From the first byte of a request to its answer. BentoML's own limit below is longer, because its answer does not have
# the form of the contract.
DEADLINE_S = 60
# Seconds that the server still answers after SIGTERM, not ready any more, for requests that are on their way.
LINGER_S = 1.0
# Two, so that a short body need not wait until a long one has been tokenized.
PARSING_THREADS = 2
# Of bodies that arrive or wait for these threads: thousands of usual ones, or sixteen of the largest size that a task
# takes, which keep the threads busy for seconds.
MAX_BODY_BYTES_IN_MEMORY = 128 << 20
CLIENT_CLOSED_REQUEST = 499
# BentoML can add a line of log and a trace to every request, at half a millisecond each; a trace is seen only where an
# exporter is configured.
LOGS_REQUESTS = os.environ.get("DRAGOMAN_ACCESS_LOG", "false").lower() == "true"
TRACES_REQUESTS = os.environ.get("DRAGOMAN_TRACING", "false").lower() == "true"
# Where the script of BentoML's page looks for the description of the interface.
OPENAPI_PATH = "/docs.json"
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
    """The arguments of ``bentoml serve --arg`` and ``bentoml build --arg``."""

    bundle: str = pydantic.Field("", description="The packaged model's tag; the one packaged last when left out")


class RawInput(bentoml.IODescriptor):  # type: ignore[misc]
    """A request that BentoML has not decoded."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    request: Request


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


def _bundle_dir() -> Path:
    """Return the bundle to serve; a Bento names the model that it was built with, whatever was packaged since."""
    # Type checkers see the class alone, not the service that BentoML's decorators make of it.
    service = cast(Any, Dragoman)
    reference = service.bento.info.all_models[0].to_model() if service.bento else service.inner.reference
    return Path(reference.resolve().path_of("bundle"))


def _input_spec(task: type[Task]) -> Any:
    """List the fields of a request for BentoML's own client and descriptions; no body is checked against them."""

    async def from_http_request(request: Request, serde: object) -> RawInput:
        # Handed over undecoded; BentoML would parse it, and refuse it in its own form.
        return RawInput(request=request)

    fields: dict[str, Any] = {task.input_field: (Any, ...)}
    fields |= {name: (Any, None) for name in task.request_fields if name != task.input_field}
    spec = pydantic.create_model("RequestInput", __base__=bentoml.IODescriptor, **fields)
    spec.from_http_request = staticmethod(from_http_request)
    return spec


class AnyOutput(pydantic.BaseModel, extra="allow"):
    """An answer, for BentoML's own client, which reads whatever JSON comes."""


def _requirements(model: bentoml.Model) -> str:
    """Read the packages of the task, which packaging has written beside the bundle."""
    try:
        return Path(model.path_of("requirements.txt")).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = f"{model.tag} was packaged by an older version; run `python -m model_registry package` again"
        raise bentoml.exceptions.NotFound(message) from error


BUNDLE_TAG = _bundle_tag(bentoml.use_arguments(Arguments).bundle)
MODEL = bentoml.models.get(BUNDLE_TAG)
TASK = task_class(MODEL.info.labels["task"])
# What an image of the Bento installs; bentofile.yaml adds the server's own packages. Everything has its version, and
# locking would ask the package index at every build, and write its address into the Bento.
IMAGE = bentoml.images.Image(python_requirements=_requirements(MODEL), lock_python_packages=False)
# BentoML builds with a copy, to which it adds these once more.
IMAGE.commands.clear()


async def _index(_: Request) -> Response:
    return HTMLResponse(INDEX_PAGE)


async def _page(request: Request) -> Response:
    manifest = bentoml.get_current_service().predictor.bundle.manifest
    path = request.scope["path"]
    return JSONResponse(openapi.document(manifest) if path == OPENAPI_PATH else TASK.pages(manifest)[path].body)


PAGES = Starlette(routes=[Route("/", _index), *(Route(path, _page) for path in (OPENAPI_PATH, *TASK.page_paths))])


@bentoml.service(
    name="dragoman",
    workers=1,
    traffic={"timeout": DEADLINE_S + 15},
    http={"host": DEFAULT_HOST},
    logging={"access": {"enabled": LOGS_REQUESTS}},
    tracing={} if TRACES_REQUESTS else {"excluded_urls": ".*"},
    image=IMAGE,
)
@bentoml.asgi_app(PAGES, path="/")
class Dragoman:
    """The service of one bundle; its task decides the form of requests."""

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
        self._bodies = BodyRoom(MAX_BODY_BYTES_IN_MEMORY)
        self._parsing = ThreadPoolExecutor(PARSING_THREADS, thread_name_prefix="parse")
        self._warm_up = self._parsing.submit(self._answer_once)
        # Its own thread: an engine that hangs must not keep one from reading requests.
        self._probing = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._probe: Future[bool] | None = None

    @property
    def predictor(self) -> Predictor:
        """The model that answers new requests."""
        return self._switch.predictor

    def _batcher_for(self, predictor: Predictor) -> MicroBatcher:
        manifest, task = predictor.bundle.manifest, predictor.task
        log.info("serving %s %s: %s", manifest.name, manifest.version, dict(predictor.describe()))
        self._metrics.serves(predictor)
        # A model that takes over has been warmed up; the first one is shown as ready after its warm-up.
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
        """Wait for SIGTERM, and follow an alias of the registry where DRAGOMAN_FOLLOW names a directory."""
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
        except DragomanError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    async def answer(self, request: Request) -> Response:
        """Answer one request, with status 499 for a client that has left."""
        reply = await self._reply(request)
        mark_answered(request.scope)
        if reply is None:
            # For the access log: the client is gone.
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return Response(reply.content, status_code=reply.status, media_type=JSON_TYPE, headers=retry_headers(reply))

    async def _reply(self, request: Request) -> Reply | None:
        """Make the reply to a request, whatever happens; None when the client has left."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        try:
            async with asyncio.timeout_at(deadline):
                with self._switch.borrowed() as (predictor, batcher):
                    # Without a name here, which would hold the body until the request is answered.
                    answering = answer_with(
                        batcher,
                        predictor,
                        await self._received(request, predictor.task.limits.max_body_bytes),
                        parse_in=self._parsing,
                        deadline=deadline,
                    )
                    return await while_connected(request.receive, answering)
        except TimeoutError:
            message = f"the request was not received and answered within {DEADLINE_S} seconds; send less at once"
            return error_reply(UnavailableError(message, code="deadline_exceeded"))
        except DragomanError as error:
            return error_reply(error)
        except (ClientDisconnect, ClientGone):
            return None
        except Exception:
            log.exception("a request failed")
            return error_reply(server_fault())

    async def _received(self, request: Request, limit: int) -> RawRequest:
        body = await read_body(request.stream(), request.headers.get("content-length"), limit, self._bodies)
        return self._bodies.give_back_with(RawRequest(body=body, content_type=request.scope[CONTENT_TYPE_KEY]))

    # BentoML's clients call the method by its name, which must therefore be the route's.
    answer.__name__ = TASK.route.rpartition("/")[2]
    locals()[answer.__name__] = bentoml.api(
        answer, route=TASK.route, input_spec=_input_spec(TASK), output_spec=AnyOutput
    )

    def _answer_once(self) -> None:
        try:
            self.predictor.warm_up()
            # All objects of now stay for good: collecting among them again and again would make the event loop pause.
            gc.collect()
            gc.freeze()
        except DragomanError:
            log.exception("the warm-up failed")
            raise
        self._is_warm = True
        # Where nothing polls the readiness, the gauge would otherwise change with the first request only.
        self._show_health()

    async def __is_ready__(self) -> bool:
        """Tell whether the warm-up has succeeded, the engine works, and the server is not about to end."""
        if self._is_ending.is_set() or not self._warm_up.done() or self._warm_up.exception() is not None:
            return False
        computing = self.predictor.computing
        # An engine that failed is tried again here: without requests nothing else would.
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
        """Let the requests in flight finish, and free the model."""
        if self._following:
            self._follower.cancel()
        await self._switch.close()
        self._parsing.shutdown()
        self._probing.shutdown(wait=False)


cast(Any, Dragoman).add_asgi_middleware(ContractMiddleware)
