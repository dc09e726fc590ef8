"""Both servers at once, over one packaged model, on free ports."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.conformance.targets import OverGrpc, OverHttp, Target
from deploy.run.bento import BentoServer
from deploy.torchserve.front_end import configured_front_end
from deploy.torchserve.grpc_client import InferenceClient
from deploy.torchserve.server import TorchServeProcess
from dragoman.tasks.base import task_class


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """What ``python -m model_registry package`` made of a bundle."""

    mar: Path
    bento: str

    @classmethod
    def from_output(cls, printed: str) -> "Packaged":
        """Read the lines ``mar: PATH`` and ``bento: TAG`` that the command printed."""
        lines = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
        return cls(mar=Path(lines["mar"]), bento=lines["bento"])


@contextmanager
def running_servers(
    packaged: Packaged, *, logs: Path, environment: Mapping[str, str], report: Callable[[str], None]
) -> Iterator[list[Target]]:
    """Start BentoML and TorchServe, give their three ways in, and stop them; logs go to ``logs``."""
    with ExitStack() as stack:
        report(f"starting bentoml serve {packaged.bento}")
        bento = stack.enter_context(
            BentoServer(packaged.bento, log=logs / "bentoml.log", environment=environment, directory=logs)
        )
        report(f"starting TorchServe with {packaged.mar.name}")
        torchserve = stack.enter_context(
            TorchServeProcess(packaged.mar, log=logs / "torchserve.log", front_end=configured_front_end(packaged.mar))
        )
        client = stack.enter_context(InferenceClient(torchserve.grpc_address))
        yield [
            OverHttp("Bento HTTP", f"{bento.url}{task_class(torchserve.task).route}"),
            OverHttp("TorchServe REST", torchserve.url),
            OverGrpc(client, torchserve.model),
        ]
