"""BentoML services written as its documentation writes them, one request at a time or with ``batchable=True``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.base import WORKERS, RunningPeer
from deploy.run.server_process import free_port
from dragoman.bundle.store import Bundle

MAX_BATCH_SIZE = 32
# BentoML's default; with less it would turn requests away that it expects to be late.
MAX_LATENCY_MS = 60_000
BATCHED = f"batchable, max_batch_size {MAX_BATCH_SIZE}, max_latency_ms {MAX_LATENCY_MS}"
ALONE = "one request at a time"


class BentoPeer:
    """``bentoml serve`` of a service over the bundle; ``mode`` is BATCHED or ALONE.

    The batched method takes and gives the list ``texts``, the other one ``text``; ``read`` makes an item's output of
    what is answered for it.
    """

    content_type = "application/json"

    def __init__(self, name: str, target: str, route: str, mode: str, read: Callable[[Any], Any] = str) -> None:
        self.name, self._target, self._route, self._mode, self._read = name, target, route, mode, read
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

    def body(self, item: str) -> str:
        """Return the text, or a batch of one, which BentoML joins with others."""
        return json.dumps({"texts": [item]} if self._mode == BATCHED else {"text": item})

    def output(self, reply: str) -> Any:
        """Return the one output, of a list where it is batched."""
        found = json.loads(reply)
        return self._read(found[0] if self._mode == BATCHED else found)
