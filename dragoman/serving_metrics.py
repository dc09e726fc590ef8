"""What a server shows of its batches, in the names and units that Prometheus users expect."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dragoman.manifest import Manifest
from dragoman.tasks import Failure, Result

WAITING_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_TOKENS = (16, 32, 64, 128, 256, 512, 1_024, 2_048)
PADDING = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


class ServingMetrics:
    """The batcher's observer over ``prometheus_client``.

    The library is handed in: the core depends on none, and a server of several processes must import it late, when it
    has said where they share their figures.
    """

    def __init__(self, prometheus: Any, manifest: Manifest, output_tokens: Callable[[Result], int]) -> None:
        """``output_tokens`` says how many tokens the model gave for an item."""
        self._output_tokens = output_tokens
        # Unregistered, because several processes share their figures through files, which the page is made from.
        gauge = partial(prometheus.Gauge, registry=None)
        counter = partial(prometheus.Counter, registry=None)
        histogram = partial(prometheus.Histogram, registry=None)
        self._queue_items = gauge("dragoman_queue_items", "Items that wait for a batch", multiprocess_mode="livesum")
        self._queue_tokens = gauge(
            "dragoman_queue_tokens", "Source tokens that wait, times their beams", multiprocess_mode="livesum"
        )
        self._waiting = histogram(
            "dragoman_waiting_seconds", "How long an item waited for its batch", buckets=WAITING_S
        )
        self._items = histogram("dragoman_batch_items", "Items in a batch", buckets=BATCH_ITEMS)
        self._tokens = histogram("dragoman_batch_tokens", "Source tokens in a batch", buckets=BATCH_TOKENS)
        self._padding = histogram("dragoman_padding_ratio", "Share of a batch that is padding", buckets=PADDING)
        self._tokens_in = counter("dragoman_tokens_in_total", "Source tokens computed")
        self._tokens_out = counter("dragoman_tokens_out_total", "Tokens that the model gave")
        info = gauge(
            "dragoman_model_info",
            "The bundle that is served",
            ["name", "version", "digest"],
            multiprocess_mode="livemax",
        )
        info.labels(manifest.name, manifest.version, f"sha256:{manifest.digest}").set(1)

    def queue_changed(self, items: int, tokens: int) -> None:
        """See ``batching.Observer``."""
        self._queue_items.set(items)
        self._queue_tokens.set(tokens)

    def batch_started(self, waits: Sequence[float], lengths: Sequence[int]) -> None:
        """See ``batching.Observer``."""
        for seconds in waits:
            self._waiting.observe(seconds)
        tokens, padded = sum(lengths), max(lengths) * len(lengths)
        self._items.observe(len(lengths))
        self._tokens.observe(tokens)
        self._padding.observe(1 - tokens / padded)
        self._tokens_in.inc(tokens)

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        """See ``batching.Observer``."""
        self._tokens_out.inc(sum(self._output_tokens(outcome) for outcome in outcomes if isinstance(outcome, Result)))
