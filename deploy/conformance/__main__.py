"""``python -m deploy.conformance``: package a bundle, serve it both ways, compare every answer with the engine's."""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from deploy.conformance.compare import compare
from deploy.conformance.servers import Endpoint, OverGrpc, OverHttp, Packaged, running_servers
from deploy.run.commands import StepFailedError, run_command
from deploy.torchserve.grpc_client import InferenceClient
from dragoman.bundle.store import MANIFEST, open_bundle
from dragoman.errors import ConfigError, DataError, run_cli
from dragoman.items.files import list_files
from dragoman.task_table import TASKS
from dragoman.tasks.base import task_class
from scoring.held_out import HeldOutError, read_held_out


def main() -> int:
    """Run the corpus, and the items of a file if one is given; 1 when any answer differs."""
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    bundle = arguments.bundle or newest_bundle(arguments.task)
    items = _items(arguments.items, bundle) if arguments.items else []
    with _servers(arguments, bundle, console) as servers:
        conformance = compare(bundle, servers, items, console.print)
    conformance.show(console)
    return 0 if conformance.is_complete else 1


def newest_bundle(task: str | None) -> Path:
    """Find the newest bundle of the runs, of one task if it is named."""
    manifests = sorted(Path("runs").glob(f"*/bundle/{MANIFEST}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in manifests:
        if task is None or json.loads(path.read_text(encoding="utf-8")).get("task") == task:
            return path.parent
    what, which = (f" of the task {task}", f" TASK={task}") if task else ("", "")
    raise ConfigError(f"there is no bundle{what} in runs/ yet; run `make demo{which}`, or give --bundle DIRECTORY")


@contextmanager
def _servers(arguments: argparse.Namespace, bundle: Path, console: Console) -> Iterator[list[Endpoint]]:
    """Connect to the running servers that were named, or else start both over the bundle."""
    if arguments.http or arguments.grpc:
        with ExitStack() as stack:
            servers: list[Endpoint] = [OverHttp(url, url) for url in arguments.http]
            for place in arguments.grpc:
                address, _, model = place.partition("/")
                servers.append(OverGrpc(stack.enter_context(InferenceClient(address)), model))
            yield servers
        return
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        # A Bento store of its own: comparing must not change which model `bentoml serve` serves.
        environment = {"BENTOML_HOME": str(Path(folder) / "bentoml")}
        command = ["-m", "model_registry", "package", str(bundle), "--out", folder]
        try:
            packaged = Packaged.from_output(run_command(*command, environment=environment).output)
        except StepFailedError as error:
            # Its message is on standard error already, and its status means the same here.
            raise SystemExit(error.exit_status) from error
        with running_servers(packaged, logs=Path(folder), environment=environment, report=console.print) as servers:
            yield servers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.conformance",
        description="Send one corpus of good and bad requests to the engine in-process, to BentoML over HTTP and to "
        "TorchServe over REST and gRPC, and compare answers, statuses and error bodies.",
        epilog="exit codes: 0 all alike, 1 a difference, 64 wrong command line, 65 no such file, 69 a server did not "
        "start, 78 the bundle is damaged",
    )
    parser.add_argument("--bundle", type=Path, help="a bundle directory (default: the newest of runs/*/bundle)")
    parser.add_argument("--task", choices=sorted(TASKS), help="the newest bundle of this task (default: of any)")
    parser.add_argument(
        "--http",
        action="append",
        default=[],
        metavar="URL",
        help="the address at which a running server takes requests; start none",
    )
    parser.add_argument(
        "--grpc", action="append", default=[], metavar="HOST:PORT/MODEL", help="a running TorchServe's gRPC; start none"
    )
    parser.add_argument(
        "--items",
        type=Path,
        metavar="FILE",
        help="also send each item of a held-out set (runs/<id>/held_out/test.parquet), each line of a text file, or "
        "each file of a folder",
    )
    return parser


def _items(path: Path, bundle: Path) -> Sequence[str | bytes]:
    try:
        if path.suffix == ".parquet":
            return [item.input for item in read_held_out(path)]
        if task_class(open_bundle(bundle).manifest.task).takes_files:
            return [file.read_bytes() for file in list_files([path])]
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (HeldOutError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


if __name__ == "__main__":
    run_cli(main)
