"""``make smoke-images``: build the images, run them as a cluster would, compare, stop and measure them.

Trains the demo's bundle unless one is given. Docker builds and runs them, or buildah and podman: each as its own user,
without capabilities, with a read-only root file system and a tmpfs at /tmp, on the loopback interface. BentoML's own
image writes to its home directory, so it gets a root file system that it may write to.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deploy.conformance.compare import compare
from deploy.conformance.corpus import load_corpus
from deploy.conformance.servers import InProcess
from deploy.demos.settings import load_demo, training_settings
from deploy.images.base import BASE, ensure_base
from deploy.images.builds import OUT, SERVERS, Built, build_image, build_standard, image_build, megabytes
from deploy.images.container import running
from deploy.images.context import BuildContext, lay_out
from deploy.images.drain import Drained, drain
from deploy.images.engine import ContainerEngine
from deploy.run.commands import run_command
from dragoman.errors import run_cli
from dragoman.predictor import load
from dragoman.task_table import TASKS
from scoring.held_out import read_held_out

STANDARD = "bentoml containerize"
# Bytes beyond the base image.
SIZE_LIMITS = {"bento": 420_000_000, "torchserve": 1_300_000_000}
# Seconds from the start to the first answer: shown, but no failure, for machines are noisy.
READY_TARGETS = {"bento": 5.0, "torchserve": 20.0}
ITEMS = 200
# Build tools, caches, and settings of the machine that built an image.
TOOLS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cmake", "git", "uv")
PROGRAM_FOLDERS = ("usr/bin", "usr/local/bin", "opt/venv/bin")
TRACES = ("/etc/pip.conf", "/etc/uv", "/root/.cache", "/root/.config", "/build")
PACKAGE_LISTS = ("/var/lib/apt/lists/", "/var/cache/apt/archives/")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The findings about one image."""

    name: str
    image: Built
    seconds_to_ready: float
    confinement: dict[str, bool]
    healthy: bool | None
    wrong_labels: list[str]
    leftovers: list[str]
    requests: int
    requests_alike: int
    items: int
    items_different: int
    drained: Drained

    def faults(self) -> list[str]:
        """List every failed check."""
        limit, drained = SIZE_LIMITS.get(self.name), self.drained
        checks = {
            f"{megabytes(self.image.above_base)} above its base, {megabytes(limit or 0)} are allowed": limit is None
            or self.image.above_base <= limit,
            "its health check fails": self.healthy is not False,
            # The standard image has none.
            "it has no health check": self.healthy is not None or self.name == STANDARD,
            f"missing or wrong labels: {', '.join(self.wrong_labels)}": not self.wrong_labels,
            f"left over from the build: {', '.join(self.leftovers)}": not self.leftovers,
            f"{self.requests - self.requests_alike} requests and {self.items_different} items answered "
            "differently than by the engine": self.requests_alike == self.requests and not self.items_different,
            "no request was sent to it": self.requests > 0 and self.items > 0,
            f"{drained.answered} of {drained.requests} requests answered while it ended": drained.answered
            == drained.requests,
            "no request was in flight when it got SIGTERM": drained.in_flight > 0,
            f"it ended with {drained.exit_code}": drained.exit_code == 0,
            "its process 1 was not looked at": bool(self.confinement),
            **{f"not so: {name}": held for name, held in self.confinement.items()},
        }
        return [f"{self.name}: {fault}" for fault, passed in checks.items() if not passed]


def main() -> int:
    """Build, run and check; 1 when a check fails."""
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
        engine = ContainerEngine.find(arguments.engine, to_run=True)
        ensure_base(engine)
        bundle = arguments.bundle
        if bundle is None:
            run_dir = Path("runs") / f"images-{datetime.now():%Y%m%d-%H%M%S}"
            settings = training_settings(arguments.task, load_demo(arguments.task), arguments.minutes)
            trained = run_command("-m", "train", *settings, f"run_dir={run_dir}", "tracking.enabled=false")
            bundle = trained.value("bundle")
        items = held_out_items(Path(bundle))
        context = lay_out(bundle, arguments.out)
        checked = []
        with tempfile.TemporaryDirectory(prefix="smoke-images-") as folder:
            for name in [*SERVERS, *([] if arguments.without_standard else [STANDARD])]:
                console.rule(f"[bold]{name}", align="left")
                checked.append(_check(console, engine, context, name, items, Path(folder)))
        _show(console, checked)
    faults = [fault for entry in checked for fault in entry.faults()]
    if arguments.json:
        print(json.dumps({"images": [asdict(entry) for entry in checked], "faults": faults}))
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.images.smoke",
        description="Build the images of both servers, and BentoML's own, run them and check them.",
        epilog="exit codes: 0 all checks passed, 1 a check failed, 64 wrong command line or missing tool, "
        "69 no base image, or a container that does not get ready",
    )
    parser.add_argument("--bundle", help="a bundle directory, or NAME@champion (default: one trained here)")
    parser.add_argument("--task", choices=sorted(TASKS), default=next(iter(TASKS)), help="whose demo (%(default)s)")
    parser.add_argument("--minutes", type=float, help="of training that bundle (default: as the demo)")
    parser.add_argument("--without-standard", action="store_true", help=f"leave out the image of `{STANDARD}`")
    parser.add_argument("--engine", choices=["docker", "buildah"], help="(default: docker if it runs, else buildah)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the build folders go (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON on standard output")
    return parser


def held_out_items(bundle: Path) -> list[str | bytes]:
    """Read held-out items of the run that wrote a bundle; none where it is not in its run's folder any more."""
    held_out = bundle.parent / "held_out" / "test.parquet"
    return [item.input for item in read_held_out(held_out)[:ITEMS]] if held_out.exists() else []


def _check(
    console: Console,
    engine: ContainerEngine,
    context: BuildContext,
    name: str,
    items: Sequence[str | bytes],
    folder: Path,
) -> Checked:
    """Build one image, run it, compare its answers, and stop it with requests in flight.

    Without items, those are sent that the task's corpus of requests makes.
    """
    manifest, is_standard = context.manifest, name == STANDARD
    items = items or load_corpus(manifest.task).items(ITEMS)
    # The standard image's labels are BentoML's to choose.
    wanted: Mapping[str, str] = {}
    if is_standard:
        build_log = context.path.with_name(f"{context.path.name}.standard.log")
        tag = f"dragoman-standard:{manifest.version}"
        image = build_standard(engine, context.packaged.bento, context.store, tag, build_log)
    else:
        build = image_build(context, name, {"BASE": BASE})
        image, wanted = build_image(engine, build, context), build.labels
    log = folder / f"{name.replace(' ', '-')}.log"
    server = running(engine, image.tag, manifest, log=log, torchserve=name == "torchserve", read_only=not is_standard)
    with server as started:
        console.print(f"{image.tag} answers after {started.seconds_to_ready:.1f} seconds")
        confinement = started.container.confinement()
        conformance = compare(context.bundle, started.ways, items, console.print)
        conformance.show(console)
        with closing(load(context.bundle)) as predictor:
            drained = drain(started.container, started.ways, InProcess(predictor), manifest.task)
        console.print(
            f"SIGTERM with {drained.in_flight} of {drained.requests} requests in flight: {drained.answered} answered, "
            f"exit code {drained.exit_code}"
        )
    if is_standard:
        del confinement["read-only root"]
    return Checked(
        name=name,
        image=image,
        seconds_to_ready=round(started.seconds_to_ready, 2),
        confinement=confinement,
        healthy=started.healthy,
        wrong_labels=[label for label, value in wanted.items() if started.labels.get(label) != value],
        leftovers=[] if is_standard else leftovers(engine.paths(image.tag), engine.paths(BASE)),
        requests=conformance.cases,
        requests_alike=conformance.alike,
        items=len(items) * len(started.ways),
        items_different=sum(len(report.differences) for report in conformance.items),
        drained=drained,
    )


def leftovers(paths: Collection[str], base: Collection[str]) -> list[str]:
    """Find paths of an image that only its build needed, without those that its base has."""
    suspects = {*TRACES, *(f"/{folder}/{tool}" for folder in PROGRAM_FOLDERS for tool in TOOLS)}
    added = set(paths) - set(base)
    return sorted(path for path in added if path in suspects or path.startswith(PACKAGE_LISTS))


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
    console.print("\n".join(faults or ["All checks passed."]))


if __name__ == "__main__":
    run_cli(main)
