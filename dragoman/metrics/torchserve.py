"""Figures of a TorchServe worker, through the metrics that TorchServe was configured with.

A worker prints its figures and the front end serves them on the metrics address. It knows the metrics that its metrics
file names (``deploy/torchserve/metrics.yaml`` has all of these); others are not shown.
"""

from collections.abc import Sequence
from typing import Any

from dragoman.items.outcomes import Failure, Result
from dragoman.live.pointer import Following
from dragoman.predictor import Predictor


class TorchServeMetrics:
    """The figures of one worker; ``cache`` is the metrics cache of TorchServe's context."""

    def __init__(self, cache: Any, model_name: str) -> None:
        by_type = getattr(cache, "cache", {})
        self._metrics = {name: metric for metrics in by_type.values() for name, metric in metrics.items()}
        # The first two of every metric's dimensions, as TorchServe's own have them.
        self._labels = [model_name, "Model"]
        self._shown: list[tuple[str, list[str]]] = []
        self._ready: bool | None = None
        self._follows: tuple[int, float] | None = None

    def serves(self, predictor: Predictor) -> None:
        """Show the bundle and the engine that serve from now on."""
        for name, labels in self._shown:
            self._update(name, 0, labels)
        manifest, described = predictor.bundle.manifest, predictor.describe()
        self._shown = [
            # Without "sha256:", because the front end takes what a worker prints apart at colons.
            ("dragoman_model_info", [manifest.name, manifest.version, manifest.digest]),
            ("dragoman_engine_info", [described["engine"], described["device"], described.get("mixing", "any")]),
        ]
        for name, labels in self._shown:
            self._update(name, 1, labels)

    def ready(self, is_ready: bool) -> None:
        """Show whether requests are answered.

        All workers share this gauge, and the last write counts. A healthy worker writes it once, since every figure is
        a line of the log; one whose engine fails repeats it with each batch, so that the others cannot hide it.
        """
        if is_ready != self._ready or not is_ready:
            self._ready = is_ready
            self._update("dragoman_ready", int(is_ready))

    def follows(self, following: Following) -> None:
        """Update the gauges of the followed alias."""
        # Only what has changed: every figure is a line of the log.
        follows = (int(following.is_ok), following.checked_at)
        if follows != self._follows:
            self._follows = follows
            self._update("dragoman_follow_ok", follows[0])
            self._update("dragoman_follow_checked_timestamp_seconds", follows[1])

    def batch_ended(self, predictor: Predictor, items: Sequence[Any], outcomes: Sequence[Result | Failure]) -> None:
        """Count the items of a batch of requests and the tokens on both sides."""
        task = predictor.task
        given = [task.output_size(outcome) for outcome in outcomes if isinstance(outcome, Result)]
        self._update("dragoman_batch_items", len(items))
        self._update("dragoman_tokens_in_total", sum(task.size(item).width for item in items))
        self._update("dragoman_tokens_out_total", sum(given))

    def batch_took(self, seconds: float) -> None:
        """Count the time from a batch's arrival at the worker to its answers."""
        self._update("dragoman_batch_seconds", seconds)

    def _update(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        metric = self._metrics.get(name)
        if metric:
            metric.add_or_update(value, [*self._labels, *labels])
