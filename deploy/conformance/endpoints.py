"""The places a request can be sent to: the core in this process, and every server that runs."""

from collections.abc import Mapping
from typing import Protocol

import httpx

from deploy.torchserve.grpc_client import InferenceClient
from dragoman.http.protocol import Reply, answer
from dragoman.items.bodies import RawRequest
from dragoman.predictor import Predictor

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
        body = response.json()
        return Reply(response.status_code, dict(body) if isinstance(body, Mapping) else {"not an object": body})


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
