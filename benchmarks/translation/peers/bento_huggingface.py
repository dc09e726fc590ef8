"""BentoML with ``batchable=True`` over Hugging Face's ``generate``."""

import json
from pathlib import Path

from benchmarks.peers.base import WORKERS, RunningPeer
from deploy.run.server_process import free_port
from dragoman.bundle.store import Bundle

TARGET = "benchmarks.translation.peers.bento_service:Batched"
MAX_BATCH_SIZE = 32
# BentoML's default; with less it would turn requests away that it expects to be late.
MAX_LATENCY_MS = 60_000


class BentoHuggingFace:
    """``bentoml serve`` of a service with a batchable method."""

    name = "BentoML, generate"
    settings = (
        f"{WORKERS} workers of one thread, fp32, batchable, max_batch_size {MAX_BATCH_SIZE}, "
        f"max_latency_ms {MAX_LATENCY_MS}"
    )
    content_type = "application/json"

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Build nothing: the service reads the bundle where it lies."""
        self._bundle_dir = bundle.path.resolve()

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = ["bentoml", "serve", TARGET, "--host", "127.0.0.1", "--port", str(port)]
        command += ["--arg", f"bundle={self._bundle_dir}"]
        url, ready = f"{address}/translate", f"{address}/readyz"
        return RunningPeer.start(command, name=self.name, url=url, ready=ready, log=log)

    def body(self, item: str) -> str:
        """Return a batch of one, which BentoML joins with others."""
        return json.dumps({"texts": [item]})

    def output(self, reply: str) -> str:
        """Return the one translation of the list."""
        (text,) = json.loads(reply)
        return str(text)
