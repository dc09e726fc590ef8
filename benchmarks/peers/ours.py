"""Our own servers, from the artifacts that ``python -m model_registry package`` builds, as a user starts them."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Exchange, RunningPeer
from deploy.conformance.servers import Packaged
from deploy.run.bento import BentoServer
from deploy.run.commands import run_quietly
from deploy.torchserve.front_end import configured_front_end
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import Bundle
from dragoman.tasks.base import Task, task_class

Contract = Callable[[type[Task]], Exchange]


def json_lists(task: type[Task]) -> Exchange:
    """Return the exchange of a list of one item in JSON, which every task takes."""

    def output(reply: str) -> Any:
        (found,) = task.outputs_of(json.loads(reply))
        return found

    return Exchange(
        content_type="application/json",
        body=lambda item: json.dumps(task.request_for([item])).encode(),
        output=output,
    )


class _Ours:
    """A server of ours, with the exchange that ``contract`` makes for the bundle's task."""

    def __init__(self, contract: Contract = json_lists) -> None:
        self._contract = contract

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Package the bundle."""
        self.task = task_class(bundle.manifest.task)
        self.exchange = self._contract(self.task)
        self.packaged = _packaged(bundle.path.resolve(), folder.parent)


class OurBento(_Ours):
    """``bentoml serve`` of the packaged Bento."""

    name = "our Bento"
    settings = "as it ships"

    def prepare(self, bundle: Bundle, folder: Path) -> None:
        """Package the bundle into a store of its own, not the user's."""
        super().prepare(bundle, folder)
        self._environment = _store(folder.parent)

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        server = BentoServer(self.packaged.bento, log=log, directory=log.parent, environment=self._environment)
        return RunningPeer(url=f"{server.url}{self.task.route}", process=server)


class OurTorchServe(_Ours):
    """TorchServe with the packaged ``.mar``."""

    name = "our .mar"
    settings = "as it ships"

    def start(self, log: Path) -> RunningPeer:
        """See ``Peer.start``."""
        server = TorchServeProcess(self.packaged.mar, log=log, front_end=configured_front_end(self.packaged.mar))
        return RunningPeer(url=server.url, process=server)


def _store(folder: Path) -> dict[str, str]:
    return {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}


@functools.cache
def _packaged(bundle_dir: Path, folder: Path) -> Packaged:
    """Build both artifacts with one command, once: the second server starts from what was built for the first."""
    command = ("package", str(bundle_dir), "--out", str(folder))
    return Packaged.from_output(run_quietly("model_registry", *command, environment=_store(folder)).output)
