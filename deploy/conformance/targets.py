"""The places a request can be sent to: the core in this process, and every server that runs."""

from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from deploy.torchserve.grpc_client import InferenceClient
from dragoman.http.protocol import Reply, answer
from dragoman.items.bodies import RawRequest
from dragoman.predictor import Predictor

TIMEOUT_S = 60.0


class Target(Protocol):
    """Somewhere that answers requests; safe to use from several threads."""

    name: str
    reports_status: bool
    """Whether an answer carries a status; TorchServe's gRPC gives the body alone."""

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
        """See ``Target.ask``."""
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
        """See ``Target.ask``."""
        headers = {"Content-Type": request.content_type} if request.content_type else {}
        response = self._client.post(self._url, content=request.body, headers=headers)
        return Reply(response.status_code, _object(response.json()))


class OverGrpc:
    """TorchServe's gRPC, which knows neither content types nor statuses."""

    name = "TorchServe gRPC"
    reports_status = False

    def __init__(self, client: InferenceClient, model: str) -> None:
        self._client = client
        self._model = model

    def ask(self, request: RawRequest) -> Reply:
        """See ``Target.ask``; the status is 0."""
        return Reply(0, self._client.predict(self._model, request.body))


def _object(body: Any) -> dict[str, Any]:
    return dict(body) if isinstance(body, Mapping) else {"not an object": body}
