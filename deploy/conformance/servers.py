"""The ways into a model: the core in this process, any server that runs, and both of ours, started to be compared."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from deploy.run.bento import BentoServer
from deploy.torchserve.front_end import configured_front_end
from deploy.torchserve.grpc_client import InferenceClient
from deploy.torchserve.server import TorchServeProcess
from dragoman.http.protocol import Reply, answer
from dragoman.items.bodies import RawRequest
from dragoman.predictor import Predictor
from dragoman.tasks.base import task_class

TIMEOUT_S = 60.0


class Endpoint(Protocol):
    """A place that answers requests; safe to use from several threads.

    ``reports_status`` is false where an answer carries no status: TorchServe's gRPC gives the body alone.
    """

    name: str
    reports_status: bool

    def ask(self, request: RawRequest) -> Reply:
        """Send one request and wait for its answer."""
        ...


class InProcess:
    """The core itself, which the servers must agree with."""

    name = "engine"
    reports_status = True

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def ask(self, request: RawRequest) -> Reply:
        """See ``Endpoint.ask``."""
        (reply,) = answer(self._predictor, [request])
        return reply


class OverHttp:
    """The address at which a server takes requests."""

    reports_status = True

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url
        # Proxies of the environment have no business between two processes of one machine.
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def ask(self, request: RawRequest) -> Reply:
        """See ``Endpoint.ask``."""
        headers = {"Content-Type": request.content_type} if request.content_type else {}
        response = self._client.post(self._url, content=request.body, headers=headers)
        return Reply(response.status_code, response.json())


class OverGrpc:
    """TorchServe's gRPC, which knows neither content types nor statuses."""

    name = "TorchServe gRPC"
    reports_status = False

    def __init__(self, client: InferenceClient, model: str) -> None:
        self._client = client
        self._model = model

    def ask(self, request: RawRequest) -> Reply:
        """See ``Endpoint.ask``; the status is 0."""
        return Reply(0, self._client.predict(self._model, request.body))


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """The two archives that ``python -m model_registry package`` made of a bundle."""

    mar: Path
    bento: str

    @classmethod
    def from_output(cls, printed: str) -> "Packaged":
        """Read the lines ``mar: PATH`` and ``bento: TAG`` that the command printed."""
        lines = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
        return cls(mar=Path(lines["mar"]), bento=lines["bento"])


@contextmanager
def running_servers(
    packaged: Packaged, *, logs: Path, environment: Mapping[str, str], report: Callable[[str], None]
) -> Iterator[list[Endpoint]]:
    """Start BentoML and TorchServe, give their three ways in, and stop them; logs go to ``logs``."""
    with ExitStack() as stack:
        report(f"starting bentoml serve {packaged.bento}")
        bento = stack.enter_context(
            BentoServer(packaged.bento, log=logs / "bentoml.log", environment=environment, directory=logs)
        )
        report(f"starting TorchServe with {packaged.mar.name}")
        torchserve = stack.enter_context(
            TorchServeProcess(packaged.mar, log=logs / "torchserve.log", front_end=configured_front_end(packaged.mar))
        )
        client = stack.enter_context(InferenceClient(torchserve.grpc_address))
        yield [
            OverHttp("Bento HTTP", f"{bento.url}{task_class(torchserve.task).route}"),
            OverHttp("TorchServe REST", torchserve.url),
            OverGrpc(client, torchserve.model),
        ]
