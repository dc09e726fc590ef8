"""BentoML services written as its documentation writes them, one request at a time or with ``batchable=True``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.base import WORKERS, Exchange, RunningPeer
from deploy.run.server_process import free_port
from dragoman.bundle.store import Bundle

MAX_BATCH_SIZE = 32
# BentoML's default; with less it would turn requests away that it expects to be late.
MAX_LATENCY_MS = 60_000
BATCHED = f"batchable, max_batch_size {MAX_BATCH_SIZE}, max_latency_ms {MAX_LATENCY_MS}"
ALONE = "one request at a time"


def json_texts(mode: str, read: Callable[[Any], Any] = str) -> Exchange:
    """Return the exchange with a method that takes ``text`` or, batched, takes and gives the list ``texts``.

    ``read`` makes an item's output of what is answered for it.
    """
    if mode == BATCHED:
        # A batch of one, which BentoML joins with others.
        return Exchange(
            content_type="application/json",
            body=lambda text: json.dumps({"texts": [text]}).encode(),
            output=lambda reply: read(json.loads(reply)[0]),
        )
    return Exchange(
        content_type="application/json",
        body=lambda text: json.dumps({"text": text}).encode(),
        output=lambda reply: read(json.loads(reply)),
    )


class BentoPeer:
    """``bentoml serve`` of a service over the bundle; ``mode`` is BATCHED or ALONE."""

    def __init__(self, name: str, target: str, route: str, mode: str, exchange: Exchange) -> None:
        self.name, self._target, self._route, self.exchange = name, target, route, exchange
        self.settings = f"{WORKERS} workers of one thread, fp32, {mode}"

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Build nothing: the service reads the bundle where it lies."""
        self._bundle_dir = bundle.path.resolve()

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = ["bentoml", "serve", self._target, "--host", "127.0.0.1", "--port", str(port)]
        command += ["--arg", f"bundle={self._bundle_dir}"]
        url, ready = f"{address}{self._route}", f"{address}/readyz"
        return RunningPeer.start(command, name=self.name, url=url, ready=ready, log=log)
