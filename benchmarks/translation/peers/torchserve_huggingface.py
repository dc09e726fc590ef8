"""TorchServe with a plain Hugging Face handler, archived as pytorch/serve's own T5 example is."""

import subprocess
import sys
from pathlib import Path

from benchmarks.peers.base import START_WITHIN_S, WORKERS, RunningPeer
from deploy.run.commands import StepFailedError
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import Bundle

HANDLER = Path(__file__).with_name("torchserve_handler.py")
# The example names no batch size, which leaves 1. TorchServe's page on batching has 8 and 50 ms; 16 was measured to be
# faster at 32 clients, and the shorter delay costs a single client less.
BATCH_SIZE = 16
MAX_BATCH_DELAY_MS = 10
NAME = "huggingface"


class TorchServeHuggingFace:
    """The handler of the example in the settings that serve it best."""

    name = "TorchServe, generate"
    settings = f"{WORKERS} workers of one thread, fp32, batchSize {BATCH_SIZE}, maxBatchDelay {MAX_BATCH_DELAY_MS} ms"
    content_type = "text/plain; charset=utf-8"

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Archive the handler and the bundle."""
        # The archiver copies what lies in this directory.
        stage = folder / "stage"
        stage.mkdir()
        (stage / "bundle").symlink_to(bundle.path.resolve())
        configuration = folder / "model-config.yaml"
        configuration.write_text(
            f"minWorkers: {WORKERS}\nmaxWorkers: {WORKERS}\nbatchSize: {BATCH_SIZE}\n"
            f"maxBatchDelay: {MAX_BATCH_DELAY_MS}\nresponseTimeout: 120\njobQueueSize: 1000\n",
            encoding="ascii",
        )
        command = [str(Path(sys.executable).parent / "torch-model-archiver"), "--model-name", NAME, "--version", "1.0"]
        command += ["--handler", str(HANDLER), "--config-file", str(configuration)]
        command += ["--extra-files", str(stage), "--export-path", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailedError(f"torch-model-archiver ended with {done.returncode}: {done.stderr[-500:]}")
        self._mar = folder / f"{NAME}.mar"

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        server = TorchServeProcess(self._mar, log=log, ready_within_s=START_WITHIN_S)
        return RunningPeer(url=server.url, process=server)

    def body(self, item: str) -> str:
        """Return the text itself, as the example's curl sends it."""
        return item

    def output(self, reply: str) -> str:
        """Return the answer itself."""
        return reply
