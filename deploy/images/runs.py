"""Starting an image of either server on free ports of the loopback interface, and the ways into it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.conformance.targets import OverGrpc, OverHttp, Target
from deploy.images.container import Container, ImageConfig
from deploy.images.engine import Engine
from deploy.run.server_process import LOOPBACK, free_port
from deploy.torchserve.config import Ports
from deploy.torchserve.grpc_client import InferenceClient
from dragoman.bundle.manifest import Manifest
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.tasks.base import Task, task_class

READY_WITHIN_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A container that answers."""

    container: Container
    ways: Sequence[Target]
    labels: Mapping[str, str]
    seconds_to_ready: float
    healthy: bool | None
    """What the image's own health check says; None where it has none."""


@contextmanager
def run_bento(engine: Engine, tag: str, manifest: Manifest, *, log: Path, read_only: bool = True) -> Iterator[Running]:
    """Run an image that serves a Bento; raises UnavailableError with the log's end when it does not get ready."""
    port, task = free_port(), task_class(manifest.task)
    environment = {"BENTOML_HOST": LOOPBACK, "BENTOML_PORT": str(port)}
    with engine.mounted(tag) as root:
        config = ImageConfig.read(engine, tag)
        started = time.monotonic()
        with Container(root, config, name=tag, log=log, read_only=read_only, environment=environment) as container:
            http = OverHttp("Bento HTTP", f"http://{LOOPBACK}:{port}{task.route}")
            seconds = _wait(container, http, task, started)
            healthy = container.run(*config.health_check) == 0 if config.health_check else None
            yield Running(
                container=container, ways=[http], labels=config.labels, seconds_to_ready=seconds, healthy=healthy
            )


@contextmanager
def run_torchserve(engine: Engine, tag: str, manifest: Manifest, *, log: Path) -> Iterator[Running]:
    """Run an image that serves a ``.mar``; raises UnavailableError with the log's end when it does not get ready."""
    ports, task, model = Ports.free(), task_class(manifest.task), manifest.name
    inside = ["--management-port", str(ports.management), "--metrics-port", str(ports.metrics)]
    arguments = [
        *("--host", LOOPBACK, "--port", str(ports.inference), *inside),
        *("--grpc-port", str(ports.grpc_inference), "--grpc-management-port", str(ports.grpc_management)),
    ]
    with ExitStack() as stack:
        root = stack.enter_context(engine.mounted(tag))
        config = ImageConfig.read(engine, tag)
        started = time.monotonic()
        container = stack.enter_context(Container(root, config, name=tag, log=log, arguments=arguments))
        http = OverHttp("TorchServe REST", f"http://{LOOPBACK}:{ports.inference}/predictions/{model}")
        seconds = _wait(container, http, task, started)
        client = stack.enter_context(InferenceClient(f"{LOOPBACK}:{ports.grpc_inference}"))
        probe = [*config.health_check, "--inference-port", str(ports.inference), *inside]
        yield Running(
            container=container,
            ways=[http, OverGrpc(client, model)],
            labels=config.labels,
            seconds_to_ready=seconds,
            healthy=container.run(*probe) == 0,
        )


def _wait(container: Container, http: Target, task: type[Task], started: float) -> float:
    container.wait_until(_answers(http, task), within_s=READY_WITHIN_S)
    return time.monotonic() - started


def _answers(way: Target, task: type[Task]) -> Callable[[], bool]:
    body = json.dumps(task.request_for([task.example_item])).encode()

    def check() -> bool:
        try:
            return way.ask(RawRequest(body=body, content_type=JSON_TYPE)).status == 200
        except Exception:
            # Nothing listens yet, or what answers is not the model.
            return False

    return check
