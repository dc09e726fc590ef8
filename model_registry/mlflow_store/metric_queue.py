"""A queue of metric points with a thread that sends them to MLflow, so that training never waits for a server."""

import logging
import queue
import threading
from collections.abc import Sequence

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from model_registry.mlflow_store.connection import without_password

log = logging.getLogger(__name__)

# The most that MLflow takes in one request.
POINTS_PER_REQUEST = 1000
# Curves are watched live, and a request a second is no load for any server.
SECONDS_BETWEEN_REQUESTS = 1.0
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0
# Longer than a restart of the server takes; a training that has ended should not hold its machine much longer.
PATIENCE_AT_THE_END_SECONDS = 120.0
# Errors that stay the same however often the points are sent.
REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"})


class MetricQueue:
    """The points of one run, sent in order and in batches; while the server is down they are kept and sent again.

    Sending again is safe: MLflow stores a point with the same name, value, time and step once.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._points: queue.SimpleQueue[Metric] = queue.SimpleQueue()
        self._closing, self._given_up = threading.Event(), threading.Event()
        self._in_flight = 0
        self._thread = threading.Thread(target=self._send_all, name="metric-queue", daemon=True)
        self._thread.start()

    def put(self, points: Sequence[Metric]) -> None:
        """Queue points; returns at once."""
        for point in points:
            self._points.put(point)

    def close(self, patience_seconds: float | None = None) -> int:
        """Send the rest, for at most so many seconds; return the number of points that can still be sent later.

        Points that MLflow refused are not among them: it would refuse them again, and the log has said so.
        """
        self._closing.set()
        self._thread.join(PATIENCE_AT_THE_END_SECONDS if patience_seconds is None else patience_seconds)
        self._given_up.set()
        return self._in_flight + self._points.qsize()

    def _send_all(self) -> None:
        while not (self._closing.wait(SECONDS_BETWEEN_REQUESTS) and self._points.empty()):
            batch: list[Metric] = []
            while len(batch) < POINTS_PER_REQUEST and not self._points.empty():
                batch.append(self._points.get())
            self._in_flight = len(batch)
            if batch and not self._send(batch):
                return
            self._in_flight = 0

    def _send(self, batch: list[Metric]) -> bool:
        """Send a batch, with retries; return False when ``close`` has given up waiting for it."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                self._client.log_batch(self._run_id, metrics=batch, synchronous=True)
                return True
            except MlflowException as error:
                reason = without_password(str(error))
                if error.error_code in REFUSALS:
                    log.error("MLflow refused %d metric points: %s", len(batch), reason)
                    return True
                log.warning("MLflow took no metrics (%s); trying again in %.0f s", reason[:200], delay)
                if self._given_up.wait(delay):
                    return False
                delay = min(2 * delay, LAST_RETRY_SECONDS)
