"""LitServe over Hugging Face's ``generate`` or over bare CTranslate2."""

import importlib.util
import json
import sys
from pathlib import Path

from benchmarks.peers.base import ENVIRONMENT, ROOT, START_WITHIN_S, WORKERS, RunningPeer
from deploy.run.server_process import ServerProcess, answers_ok, free_port
from dragoman.bundle.store import Bundle
from dragoman.errors import ConfigError

LABELS = {"huggingface": "generate", "ctranslate2": "CTranslate2"}
PRECISIONS = {"huggingface": "fp32", "ctranslate2": "int8"}


class LitServe:
    """LitServe with its own batching."""

    content_type = "application/json"

    def __init__(self, engine: str) -> None:
        self.name = f"LitServe, {LABELS[engine]}"
        self.settings = (
            f"{WORKERS} workers of one thread, {PRECISIONS[engine]}, max_batch_size 32, batch_timeout 10 ms, "
            "one process for HTTP"
        )
        self._engine = engine

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Nothing is built; raises ConfigError when LitServe is not installed."""
        if importlib.util.find_spec("litserve") is None:
            raise ConfigError("litserve is not installed; pip install -c constraints.txt -e '.[bench]'")
        self._bundle_dir = bundle.path.resolve()

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        options = {"--bundle": str(self._bundle_dir), "--engine": self._engine, "--port": str(port := free_port())}
        command = [sys.executable, "-m", "benchmarks.translation.peers.litserve_server"]
        server = ServerProcess(
            command + [word for pair in options.items() for word in pair],
            name=self.name,
            directory=ROOT,
            environment=ENVIRONMENT,
            log=log,
        )
        server.wait_until(lambda: answers_ok(f"http://127.0.0.1:{port}/health"), within_s=START_WITHIN_S)
        return RunningPeer(url=f"http://127.0.0.1:{port}/predict", process=server)

    def body(self, item: str) -> str:
        """A request for one text."""
        return json.dumps({"text": item})

    def output(self, reply: str) -> str:
        """Its translation."""
        fields: dict[str, str] = json.loads(reply)
        return fields["translation"]
