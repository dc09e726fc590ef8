"""BentoML with ``batchable=True`` over Hugging Face's ``generate``."""

import json
import sys
from pathlib import Path

from benchmarks.peers.base import ENVIRONMENT, ROOT, START_WITHIN_S, WORKERS, RunningPeer
from deploy.run.server_process import ServerProcess, answers_ok, free_port
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
        """Nothing is built: the service reads the bundle where it lies."""
        self._bundle_dir = bundle.path.resolve()

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        address = ["--host", "127.0.0.1", "--port", str(port := free_port())]
        server = ServerProcess(
            [sys.executable, "-m", "bentoml", "serve", TARGET, *address, "--arg", f"bundle={self._bundle_dir}"],
            name=self.name,
            directory=ROOT,
            environment=ENVIRONMENT,
            log=log,
        )
        server.wait_until(lambda: answers_ok(f"http://127.0.0.1:{port}/readyz"), within_s=START_WITHIN_S)
        return RunningPeer(url=f"http://127.0.0.1:{port}/translate", process=server)

    def body(self, item: str) -> str:
        """A batch of one, which BentoML puts together with others."""
        return json.dumps({"texts": [item]})

    def output(self, reply: str) -> str:
        """The one translation of the list."""
        (text,) = json.loads(reply)
        return str(text)
