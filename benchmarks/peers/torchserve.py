"""TorchServe with a plain handler over the bundle's weights, archived as pytorch/serve's own examples are."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import START_WITHIN_S, WORKERS, Exchange, RunningPeer
from deploy.run.commands import StepFailedError
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import Bundle

MODEL_NAME = "peer"


def plain_text(read: Callable[[str], Any] = str) -> Exchange:
    """Return the exchange of a text as the examples' curl sends it; ``read`` makes an output of the answer."""
    return Exchange(content_type="text/plain; charset=utf-8", body=str.encode, output=read)


class TorchServePeer:
    """A handler over the bundle, which lies beside it, as the files ``beside`` do."""

    def __init__(
        self,
        name: str,
        handler: Path,
        *,
        batch_size: int,
        max_batch_delay_ms: int,
        exchange: Exchange,
        beside: Sequence[Path] = (),
    ) -> None:
        self.name, self._handler, self.exchange, self._beside = name, handler, exchange, beside
        self._batching = f"batchSize: {batch_size}\nmaxBatchDelay: {max_batch_delay_ms}\n"
        self.settings = f"{WORKERS} workers of one thread, fp32, batchSize {batch_size}"
        if batch_size > 1:
            self.settings += f", maxBatchDelay {max_batch_delay_ms} ms"

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Archive the handler and the bundle."""
        # The archiver copies what lies in this directory.
        stage = folder / "stage"
        stage.mkdir()
        (stage / "bundle").symlink_to(bundle.path.resolve())
        for file in self._beside:
            shutil.copy(file, stage)
        configuration = folder / "model-config.yaml"
        configuration.write_text(
            f"minWorkers: {WORKERS}\nmaxWorkers: {WORKERS}\n{self._batching}responseTimeout: 120\njobQueueSize: 1000\n",
            encoding="ascii",
        )
        command = [str(Path(sys.executable).parent / "torch-model-archiver"), "--version", "1.0"]
        command += ["--model-name", MODEL_NAME, "--handler", str(self._handler), "--config-file", str(configuration)]
        command += ["--extra-files", str(stage), "--export-path", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailedError(f"torch-model-archiver ended with {done.returncode}: {done.stderr[-500:]}")
        self._mar = folder / f"{MODEL_NAME}.mar"

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        server = TorchServeProcess(self._mar, log=log, ready_within_s=START_WITHIN_S)
        return RunningPeer(url=server.url, process=server)
