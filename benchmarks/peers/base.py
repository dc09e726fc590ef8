"""The form of every server that is compared: ours, and others that a user could run over the same weights.

All get the machine in the same layout, one worker of one thread for each core: two workers of one thread were faster
than one worker of two with every engine here, and OpenMP pools that share their cores with a busy server collapse. The
extra ``bench`` brings LitServe's uvloop, which then serves every Python server alike.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from deploy.run.server_process import ServerProcess, answers_ok
from dragoman.bundle.store import Bundle

ROOT = Path(__file__).resolve().parents[2]
WORKERS = os.cpu_count() or 1
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # Otherwise the tokenizers warn in every forked worker.
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "BENTOML_DO_NOT_TRACK": "true",
}
# Two workers that load torch and a model each, on a machine that may be busy with other work.
START_WITHIN_S = 300.0


@dataclass(frozen=True, kw_only=True)
class RunningPeer:
    """A server that answers, at the address that takes requests."""

    url: str
    process: ServerProcess

    @classmethod
    def start(cls, command: Sequence[str], *, name: str, url: str, ready: str, log: Path) -> "RunningPeer":
        """Run ``python -m COMMAND`` and wait until the address ``ready`` answers; raises UnavailableError."""
        program = [sys.executable, "-m", *command]
        server = ServerProcess(program, name=name, directory=ROOT, environment=ENVIRONMENT, log=log)
        server.wait_until(lambda: answers_ok(ready), within_s=START_WITHIN_S)
        return cls(url=url, process=server)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The form of requests and answers: the body for an item, and the item's output from the body of an answer.

    An output has the form of ``Task.output``.
    """

    content_type: str
    body: Callable[[Any], bytes]
    output: Callable[[str], Any]


class Peer(Protocol):
    """One way to serve a bundle; ``exchange`` is known once it is prepared."""

    name: str
    settings: str
    exchange: Exchange

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Build what the server starts from, in a folder of its own."""

    def start(self, log: Path) -> RunningPeer:
        """Start the server and wait until it calls itself ready; raises DragomanError with the end of its log."""
