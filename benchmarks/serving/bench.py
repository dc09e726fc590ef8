"""The benchmark of servers over one bundle, under the same load, in one run; a task says what is sent, and to whom.

Each server in turn is started alone on the machine, measured and stopped, and all of them again in every round, in the
other direction each time, so that a bad minute of the machine does not favour anybody. The tables show medians over
the rounds.
"""

import argparse
import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.environment import machine, versions
from benchmarks.peers.base import ROOT, Peer
from benchmarks.peers.ours import Contract, OurBento, OurTorchServe, json_lists
from benchmarks.serving.comparison import BENTO, MAR, ServingTarget, Tree, medians, ratios
from benchmarks.serving.load_test import FULL, QUICK, Figures, LoadPlan, LoadTest, LoadTestResult
from benchmarks.serving.tables import Words, show
from benchmarks.serving.workloads import Workloads
from deploy.run.commands import run_quietly
from dragoman import atomic
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.checkout import git_commit
from dragoman.errors import ConfigError, DragomanError
from scoring.held_out import HeldOutItem, write_held_out

TABLE_WIDTH = 150

Outputs = Mapping[int, Any]


@dataclass(frozen=True, kw_only=True)
class TaskBench:
    """The part of the benchmark that a task gives.

    ``load_workloads`` gets the folder of corpora and the bundle. ``peers`` are the servers beside ours. ``limits`` is a
    module whose command calls ``benchmarks.serving.limits.print_limits``. ``quality`` gets outputs by index,
    references, and our Bento's outputs. ``counter`` makes a function that counts an output's tokens, None where an
    output has none. ``contract`` says how ours are asked.
    """

    words: Words
    load_workloads: Callable[[Path, Bundle], Workloads]
    peers: Callable[[LoadPlan], Sequence[Peer]]
    limits: str
    quality: Callable[[Outputs, Sequence[Any], Outputs], Mapping[str, float]]
    targets: Callable[[Mapping[str, Tree], Mapping[str, Tree]], Sequence[ServingTarget]]
    counter: Callable[[Bundle], Callable[[Any], int] | None] = lambda bundle: None
    contract: Contract = json_lists


@dataclass
class Contestant:
    """One server, or one limit, with its figures and outputs so far."""

    name: str
    settings: str
    rounds: list[Figures] = field(default_factory=list)
    outputs: dict[int, Any] = field(default_factory=dict)
    failed: str | None = None

    def add(self, result: LoadTestResult) -> None:
        """Add a round's figures and outputs."""
        self.rounds.append(result.figures)
        self.outputs.update(result.outputs)

    def summary(self, quality: Callable[[Outputs], Mapping[str, float]]) -> dict[str, Any]:
        """Return medians over the rounds, each round, and the quality of the outputs."""
        found: dict[str, Any] = {"settings": self.settings, "failed": self.failed}
        if self.rounds:
            found.update(medians(self.rounds), rounds=self.rounds, items=len(self.outputs))
        if self.outputs:
            found.update({name: round(value, 2) for name, value in quality(self.outputs).items()})
        return found


class Bench:
    """One run over all servers and limits."""

    def __init__(
        self, task: TaskBench, bundle: Bundle, plan: LoadPlan, workloads: Workloads, folder: Path, console: Console
    ) -> None:
        self._task, self._bundle, self._plan, self._workloads, self._folder = task, bundle, plan, workloads, folder
        self._count = task.counter(bundle)
        self._peers: list[Peer] = [OurBento(task.contract), OurTorchServe(task.contract), *task.peers(plan)]
        self._servers = {peer.name: Contestant(peer.name, peer.settings) for peer in self._peers}
        self._limits: dict[str, Contestant] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        phases = plan.rounds * (len(self._peers) * plan.phases + 1) + len(self._peers)
        self._bar = self._progress.add_task("", total=phases)

    def run(self) -> None:
        """Measure everything; a server that fails is noted and left out of later rounds."""
        with self._progress:
            for number, peer in enumerate(self._peers):
                self._progress.update(self._bar, description=f"preparing {peer.name}")
                folder = self._folder / f"peer-{number}"
                folder.mkdir()
                try:
                    peer.prepare(self._bundle, folder)
                except DragomanError as error:
                    self._fail(peer, str(error))
                self._progress.advance(self._bar)
            for number in range(self._plan.rounds):
                self._measure_limits()
                for peer in self._peers if number % 2 == 0 else reversed(self._peers):
                    if self._servers[peer.name].failed is None:
                        self._test(peer, number)

    def results(self) -> dict[str, Any]:
        """Return everything measured so far, for the record and the tables."""

        def quality(outputs: Outputs) -> Mapping[str, float]:
            return self._task.quality(outputs, self._workloads.references, self._servers[BENTO].outputs)

        servers = {name: contestant.summary(quality) for name, contestant in self._servers.items()}
        limits = {name: contestant.summary(quality) for name, contestant in self._limits.items()}
        done = {name: tree for name, tree in servers.items() if "closed" in tree}
        return {
            "machine": machine(),
            "versions": versions(),
            "commit": git_commit(ROOT),
            "bundle": {"name": self._bundle.manifest.name, "version": self._bundle.manifest.version},
            "options": self._bundle.manifest.options,
            "plan": asdict(self._plan),
            "servers": servers,
            "limits": limits,
            "ratios": {ours: ratios(done, ours) for ours in (BENTO, MAR) if ours in done},
            "targets": [{**asdict(target), "met": target.met} for target in self._task.targets(done, limits)],
        }

    def _test(self, peer: Peer, number: int) -> None:
        self._progress.update(self._bar, description=f"starting {peer.name}")
        test = LoadTest(
            plan=self._plan,
            workloads=self._workloads,
            count=self._count,
            logs=self._folder,
            report=functools.partial(self._report, peer.name),
        )
        try:
            self._servers[peer.name].add(test.run(peer, number))
        except DragomanError as error:
            self._fail(peer, f"round {number + 1}: {error}")

    def _measure_limits(self) -> None:
        self._progress.update(self._bar, description="measuring the limits in-process")
        items = self._folder / "items.parquet"
        given = enumerate(self._workloads.items[: self._plan.items])
        write_held_out(items, [HeldOutItem(id=str(number), input=item, reference=None) for number, item in given])
        options = ("--bundle", str(self._bundle.path.resolve()), "--items", str(items))
        # OpenMP's threads would otherwise spin at each other as soon as anything else runs: generate was measured to
        # become seven times slower on two threads than on one.
        environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        measured = run_quietly(self._task.limits, *options, "--alone", str(self._plan.alone), environment=environment)
        for limit in json.loads(measured.output):
            name, settings, outputs = limit.pop("name"), limit.pop("settings"), limit.pop("outputs")
            contestant = self._limits.setdefault(name, Contestant(name, settings))
            contestant.add(LoadTestResult(figures=limit, outputs=dict(enumerate(outputs))))
            self._progress.console.print(_line(name, "", limit))
        self._progress.advance(self._bar)

    def _report(self, name: str, label: str, figures: Figures) -> None:
        self._progress.console.print(_line(name, label, figures))
        self._progress.update(self._bar, description=name, advance=1)

    def _fail(self, peer: Peer, reason: str) -> None:
        self._servers[peer.name].failed = reason
        self._progress.console.print(f"{peer.name} failed: {reason}", markup=False)


def _line(name: str, label: str, figures: Mapping[str, Any]) -> str:
    line = f"{name:24} {label:32} {figures['requests_per_s']:7.1f}/s"
    if figures["p50_ms"] is not None:
        line += f"  p50 {figures['p50_ms']:7.1f} ms  p99 {figures['p99_ms']:7.1f} ms"
    return line + (f"  {figures['errors']} errors: {figures['error']}" if figures.get("errors") else "")


def run_bench(task: TaskBench, parser: argparse.ArgumentParser) -> int:
    """Measure, write the record, print the tables; 1 when a server failed."""
    options = _options(parser)
    plan = QUICK if options.quick else FULL
    if options.rounds is not None:
        if options.rounds < 1:
            raise ConfigError(f"--rounds must be at least 1, got {options.rounds}")
        plan = replace(plan, rounds=options.rounds)
    out = options.out or Path("runs") / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    if options.out is None:
        out.parent.mkdir(exist_ok=True)
    atomic.check_writable(out)
    console = Console(highlight=False, soft_wrap=True)
    bundle = open_bundle(options.bundle)
    workloads = task.load_workloads(options.data, bundle)
    # A task need not have items of every kind.
    plan = replace(plan, other=plan.other and bool(workloads.other), mixed=plan.mixed and bool(workloads.long))
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True) as folder:
        bench = Bench(task, bundle, plan, workloads, Path(folder), console)
        try:
            bench.run()
        finally:
            # What was measured before an interrupt is kept as well.
            results = {"command": f"{parser.prog} {' '.join(sys.argv[1:])}", **bench.results()}
            atomic.write_json(out, results)
    # A log file has no width of its own; the tables are made to be read.
    show(Console(highlight=False, width=None if console.is_terminal else TABLE_WIDTH), results, task.words)
    console.print(f"record: {out}")
    return 1 if any(tree["failed"] for tree in results["servers"].values()) else 0


def _options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--bundle", required=True, type=Path, help="the bundle that every server serves")
    parser.add_argument("--quick", action="store_true", help="three minutes: one round, fewer loads, short ones")
    parser.add_argument("--rounds", type=int, help=f"tests of each server (default: {FULL.rounds}, with --quick 1)")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("DRAGOMAN_DATA") or "data"),
        help="folder of the corpora (default: DRAGOMAN_DATA, or data: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="the JSON file to write (default: runs/bench-<time>.json)")
    return parser.parse_args()
