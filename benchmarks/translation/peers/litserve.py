"""LitServe over Hugging Face's ``generate`` or over bare CTranslate2."""

import importlib.util
import json
from pathlib import Path

from benchmarks.peers.base import WORKERS, Exchange, RunningPeer
from deploy.run.server_process import free_port
from dragoman.bundle.store import Bundle
from dragoman.errors import ConfigError

LABELS = {"huggingface": "generate", "ctranslate2": "CTranslate2"}
PRECISIONS = {"huggingface": "fp32", "ctranslate2": "int8"}


class LitServe:
    """LitServe with its own batching."""

    exchange = Exchange(
        content_type="application/json",
        body=lambda text: json.dumps({"text": text}).encode(),
        output=lambda reply: str(json.loads(reply)["translation"]),
    )

    def __init__(self, engine: str) -> None:
        self.name = f"LitServe, {LABELS[engine]}"
        self.settings = (
            f"{WORKERS} workers of one thread, {PRECISIONS[engine]}, max_batch_size 32, batch_timeout 10 ms, "
            "one process for HTTP"
        )
        self._engine = engine

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Check that LitServe is installed; raises ConfigError."""
        if importlib.util.find_spec("litserve") is None:
            raise ConfigError("litserve is not installed; pip install -c constraints.txt -e '.[bench]'")
        self._bundle_dir = bundle.path.resolve()

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = ["benchmarks.translation.peers.litserve_server", "--port", str(port)]
        command += ["--bundle", str(self._bundle_dir), "--engine", self._engine]
        url, ready = f"{address}/predict", f"{address}/health"
        return RunningPeer.start(command, name=self.name, url=url, ready=ready, log=log)
