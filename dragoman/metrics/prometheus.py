"""Figures of the BentoML service, in the names and units that Prometheus users expect."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dragoman.items.outcomes import Failure, Result
from dragoman.live.pointer import Following
from dragoman.predictor import Predictor
from dragoman.tasks.base import Task

# Bounds of the histograms' buckets.
WAITING_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_TOKENS = (16, 32, 64, 128, 256, 512, 1_024, 2_048)
PADDING = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


class ServingMetrics:
    """The figures of one server process over ``prometheus_client``.

    The library is an argument: the core does not depend on it, and a server of several processes must import it late,
    once it has set the folder in which they share their figures.
    """

    def __init__(self, prometheus: Any) -> None:
        # Unregistered, because several processes share their figures through files, which the page is made from.
        self._gauge = gauge = partial(prometheus.Gauge, registry=None)
        counter = partial(prometheus.Counter, registry=None)
        histogram = partial(prometheus.Histogram, registry=None)
        self.queue_items = gauge("dragoman_queue_items", "Items that wait for a batch", multiprocess_mode="livesum")
        self.queue_tokens = gauge(
            "dragoman_queue_tokens",
            "Tokens that wait, once for each row that the model computes",
            multiprocess_mode="livesum",
        )
        self.waiting = histogram("dragoman_waiting_seconds", "How long an item waited for its batch", buckets=WAITING_S)
        self.items = histogram("dragoman_batch_items", "Items in a batch", buckets=BATCH_ITEMS)
        self.tokens = histogram(
            "dragoman_batch_tokens", "Input tokens in a batch (items, where a task has no tokens)", buckets=BATCH_TOKENS
        )
        self.padding = histogram("dragoman_padding_ratio", "Share of a batch that is padding", buckets=PADDING)
        self.tokens_in = counter(
            "dragoman_tokens_in_total", "Input tokens computed (items, where a task has no tokens)"
        )
        self.tokens_out = counter(
            "dragoman_tokens_out_total", "Tokens that the model gave (items, where a task has no tokens)"
        )
        self._info = gauge(
            "dragoman_model_info",
            "1 for the bundle that is served, 0 for those served before",
            ["name", "version", "digest"],
            multiprocess_mode="livemax",
        )
        self._engine = gauge(
            "dragoman_engine_info",
            "1 for the engine that computes, and how it fills batches; 0 for those before",
            ["engine", "device", "mixing"],
            multiprocess_mode="livemax",
        )
        self._ready = gauge(
            "dragoman_ready", "1 while the server answers, 0 while its engine fails", multiprocess_mode="livemin"
        )
        self._shown: list[Any] = []

    def serves(self, predictor: Predictor) -> None:
        """Show the bundle and the engine that serve from now on."""
        for series in self._shown:
            series.set(0)
        manifest, described = predictor.bundle.manifest, predictor.describe()
        self._shown = [
            self._info.labels(manifest.name, manifest.version, f"sha256:{manifest.digest}"),
            self._engine.labels(described["engine"], described["device"], described.get("mixing", "any")),
        ]
        for series in self._shown:
            series.set(1)

    def ready(self, is_ready: bool) -> None:
        """Show whether requests are answered."""
        self._ready.set(is_ready)

    def follows(self, following: Following) -> Callable[[], None]:
        """Return a function that updates the gauges of the followed alias."""
        is_ok = self._gauge(
            "dragoman_follow_ok", "1 while the alias that is followed is known and served", multiprocess_mode="livemin"
        )
        checked_at = self._gauge(
            "dragoman_follow_checked_timestamp_seconds",
            "When the registry last said what the alias names",
            multiprocess_mode="livemin",
        )

        def show() -> None:
            is_ok.set(following.is_ok)
            checked_at.set(following.checked_at)

        return show


class BatcherMetrics:
    """The observer of one batcher; while one model replaces another there are two, and their queues add up."""

    def __init__(self, metrics: ServingMetrics, task: Task, on_batch: Callable[[], None]) -> None:
        """Call ``on_batch`` after each batch, to show the health of the current model, which may be another one."""
        self._metrics, self._task, self._on_batch = metrics, task, on_batch
        self._queued: dict[str, tuple[int, int]] = {}

    def queue_changed(self, request_class: str, items: int, cost: int) -> None:
        """See ``batching.batcher.Observer``; the queues of short and of long requests add up to one figure."""
        items_before, cost_before = self._queued.get(request_class, (0, 0))
        self._metrics.queue_items.inc(items - items_before)
        self._metrics.queue_tokens.inc(cost - cost_before)
        self._queued[request_class] = (items, cost)

    def batch_started(self, waits: Sequence[float], widths: Sequence[int]) -> None:
        """See ``batching.batcher.Observer``."""
        for seconds in waits:
            self._metrics.waiting.observe(seconds)
        tokens, padded = sum(widths), max(widths) * len(widths)
        self._metrics.items.observe(len(widths))
        self._metrics.tokens.observe(tokens)
        self._metrics.padding.observe(1 - tokens / padded)
        self._metrics.tokens_in.inc(tokens)

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        """See ``batching.batcher.Observer``."""
        given = [self._task.output_size(outcome) for outcome in outcomes if isinstance(outcome, Result)]
        self._metrics.tokens_out.inc(sum(given))
        self._on_batch()
