"""``make smoke-images``: the images built, run as a cluster would run them, asked, stopped and measured.

Trains the demo's bundle unless one is given. Each image runs as its own user, without capabilities,
with a root file system that the kernel holds read-only and a tmpfs at /tmp, on the loopback interface. BentoML's own
image writes to its home directory, so it gets a root file system that it may write to.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deploy.conformance.corpus import load_corpus
from deploy.conformance.outcome import Conformance, compare
from deploy.conformance.targets import InProcess
from deploy.demos.settings import load_demo, training_settings
from deploy.images.__main__ import OUT, SERVERS, Built, build_image, megabytes, server_build
from deploy.images.base import BASE, ensure_base
from deploy.images.context import Context, lay_out
from deploy.images.drain import Drained, drain
from deploy.images.engine import Engine
from deploy.images.left_over import left_over
from deploy.images.runs import Running, run_bento, run_torchserve
from deploy.images.standard import build_standard
from deploy.run.commands import run_command
from dragoman.errors import ConfigError, run_cli
from dragoman.predictor import load
from dragoman.task_table import TASKS

STANDARD = "bentoml containerize"
# Bytes beyond the base image.
SIZE_LIMITS = {"bento": 420_000_000, "torchserve": 1_300_000_000}
# Seconds from the start to the first answer: shown, but no failure, for machines are noisy.
READY_TARGETS = {"bento": 5.0, "torchserve": 20.0}
ITEMS = 200


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came of one image."""

    name: str
    image: Built
    seconds_to_ready: float
    confinement: dict[str, bool]
    healthy: bool | None
    wrong_labels: list[str]
    left_over: list[str]
    requests: int
    requests_alike: int
    items: int
    items_different: int
    drained: Drained

    def faults(self) -> list[str]:
        """What is not as it must be."""
        limit, drained = SIZE_LIMITS.get(self.name), self.drained
        checks = {
            f"{megabytes(self.image.above_base)} above its base, {megabytes(limit or 0)} are allowed": limit is None
            or self.image.above_base <= limit,
            "its health check fails": self.healthy is not False,
            # The standard image has none.
            "it has no health check": self.healthy is not None or self.name == STANDARD,
            f"labels that do not say what they must: {', '.join(self.wrong_labels)}": not self.wrong_labels,
            f"left over from the build: {', '.join(self.left_over)}": not self.left_over,
            f"{self.requests - self.requests_alike} requests and {self.items_different} items answered "
            "otherwise than by the engine": self.requests_alike == self.requests and not self.items_different,
            "it was asked nothing": self.requests > 0 and self.items > 0,
            f"{drained.answered} of {drained.requests} requests answered while it ended": drained.answered
            == drained.requests,
            "no request was left to answer when it was told to end": drained.in_flight > 0,
            f"it ended with {drained.exit_code}": drained.exit_code == 0,
            "the kernel was not asked about its process 1": bool(self.confinement),
            **{f"not so: {name}": held for name, held in self.confinement.items()},
        }
        return [f"{self.name}: {fault}" for fault, passed in checks.items() if not passed]


def main() -> int:
    """Build, run and check; 1 when a limit is missed or an image does not do what it must."""
    arguments = _parser().parse_args()
    with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
        checked = _check_all(arguments, Console(highlight=False))
    faults = [fault for entry in checked for fault in entry.faults()]
    if arguments.json:
        print(json.dumps({"images": [asdict(entry) for entry in checked], "faults": faults}))
    return 1 if faults else 0


def _check_all(arguments: argparse.Namespace, console: Console) -> list[Checked]:
    engine = Engine.find("buildah")
    if os.geteuid() != 0:
        raise ConfigError("only root can run images without a container engine; run it as root")
    ensure_base(engine)
    context = lay_out(arguments.bundle or _trained(arguments.task, arguments.minutes), arguments.out)
    checked = []
    with tempfile.TemporaryDirectory(prefix="smoke-images-") as folder:
        for name in [*SERVERS, *([] if arguments.without_standard else [STANDARD])]:
            console.rule(f"[bold]{name}", align="left")
            checked.append(_check(console, engine, context, name, Path(folder)))
    _show(console, checked)
    return checked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.images.smoke",
        description="Build the images of both servers, and BentoML's own, run them and check what they must do.",
        epilog="exit codes: 0 all as it must be, 1 something is not, 64 wrong command line, not root, missing tool, "
        "69 no base image, or a container that does not get ready",
    )
    parser.add_argument("--bundle", help="a bundle directory, or NAME@champion (default: one trained here)")
    parser.add_argument("--task", choices=sorted(TASKS), default=next(iter(TASKS)), help="whose demo (%(default)s)")
    parser.add_argument("--minutes", type=float, help="of training that bundle (default: as the demo)")
    parser.add_argument("--without-standard", action="store_true", help=f"leave out the image of `{STANDARD}`")
    parser.add_argument("--out", type=Path, default=OUT, help="where the build folders go (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON on standard output")
    return parser


def _trained(task: str, minutes: float | None) -> str:
    run_dir = Path("runs") / f"images-{datetime.now():%Y%m%d-%H%M%S}"
    settings = training_settings(task, load_demo(task), minutes)
    return run_command("-m", "train", *settings, f"run_dir={run_dir}", "tracking.enabled=false").value("bundle")


def _check(console: Console, engine: Engine, context: Context, name: str, folder: Path) -> Checked:
    """Build one image, run it, ask it, and stop it in the middle of its work."""
    manifest, store = context.manifest, context.store
    items = load_corpus(manifest.task).items(ITEMS)
    log = folder / f"{name.replace(' ', '-')}.log"
    # What the standard image says about itself is BentoML's to choose.
    wanted: Mapping[str, str] = {}
    running: AbstractContextManager[Running]
    if name == STANDARD:
        build_log = context.path.with_name(f"{context.path.name}.standard.log")
        image = build_standard(
            engine, context.packaged.bento, store, f"dragoman-standard:{manifest.version}", build_log
        )
        running = run_bento(engine, image.tag, manifest, log=log, read_only=False)
    else:
        build = server_build(context, name, {"BASE": BASE})
        image, wanted = build_image(engine, build, context), build.labels
        if name == "bento":
            running = run_bento(engine, image.tag, manifest, log=log)
        else:
            running = run_torchserve(engine, image.tag, manifest, log=log)
    with running as server:
        console.print(f"{image.tag} answers after {server.seconds_to_ready:.1f} seconds")
        confinement = server.container.confinement()
        conformance = compare(context.bundle, server.ways, items, console.print)
        conformance.show(console)
        drained = _drained(context, server)
        console.print(
            f"SIGTERM with {drained.in_flight} of {drained.requests} requests in flight: {drained.answered} answered, "
            f"exit code {drained.exit_code}"
        )
    if name == STANDARD:
        del confinement["read-only root"]
    return Checked(
        name=name,
        image=image,
        seconds_to_ready=round(server.seconds_to_ready, 2),
        confinement=confinement,
        healthy=server.healthy,
        wrong_labels=[label for label, value in wanted.items() if server.labels.get(label) != value],
        left_over=[] if name == STANDARD else _left_over(engine, image),
        requests=conformance.cases,
        requests_alike=conformance.alike,
        items=len(items) * len(server.ways),
        items_different=_different(conformance),
        drained=drained,
    )


def _drained(context: Context, server: Running) -> Drained:
    predictor = load(context.bundle)
    try:
        return drain(server.container, server.ways, InProcess(predictor), context.manifest.task)
    finally:
        predictor.close()


def _left_over(engine: Engine, image: Built) -> list[str]:
    with engine.mounted(image.tag) as root, engine.mounted(BASE) as base:
        return left_over(root, base)


def _different(conformance: Conformance) -> int:
    return sum(len(report.differences) for report in conformance.items)


def _show(console: Console, checked: Sequence[Checked]) -> None:
    columns = ("image", "above base", "limit", "ready", "target", "alike", "in SIGTERM", "exit")
    table = Table(*columns, box=SIMPLE_HEAD)
    for entry in checked:
        limit, target = SIZE_LIMITS.get(entry.name), READY_TARGETS.get(entry.name)
        late = target is not None and entry.seconds_to_ready > target
        table.add_row(
            entry.name,
            megabytes(entry.image.above_base),
            megabytes(limit) if limit else "-",
            f"{entry.seconds_to_ready:.1f} s{' (over)' if late else ''}",
            f"{target:g} s" if target else "-",
            f"{entry.requests_alike}/{entry.requests}",
            f"{entry.drained.answered}/{entry.drained.requests}",
            str(entry.drained.exit_code),
        )
    console.print(table)
    for entry in checked:
        held = [name for name, is_so in entry.confinement.items() if is_so]
        console.print(f"{entry.name}: the kernel says of process 1: {', '.join(held)}")
    faults = [f"[red]{fault}[/red]" for entry in checked for fault in entry.faults()]
    console.print("\n".join(faults or ["All as it must be."]))


if __name__ == "__main__":
    run_cli(main)
