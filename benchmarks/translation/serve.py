"""The benchmark of ``make bench``: our servers and their peers over one bundle, under the same load, in one run.

python -m benchmarks.translation.serve --bundle runs/<id>/bundle [--quick]

Each server in turn is started alone on the machine, measured and stopped, and all of them again in every round, in the
other direction each time, so that a bad minute of the machine does not favour anybody. The tables show medians over
the rounds. Speed needs the geometry of t5-small: see ``python -m benchmarks.translation.widened_bundle``.
"""

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sacrebleu.metrics import BLEU, CHRF

from benchmarks.environment import machine, versions
from benchmarks.peers.base import ROOT, Peer
from benchmarks.peers.ours import OurBento, OurTorchServe
from benchmarks.serving.load_test import FULL, QUICK, Figures, LoadPlan, LoadTest, LoadTestResult, Workloads
from benchmarks.translation.comparison import BENTO, MAR, medians, ratios, targets
from benchmarks.translation.peers.bento_huggingface import BentoHuggingFace
from benchmarks.translation.peers.litserve import LitServe
from benchmarks.translation.peers.torchserve_huggingface import TorchServeHuggingFace
from benchmarks.translation.serve_tables import show
from benchmarks.translation.workloads import data_folder, load_workloads
from deploy.run.commands import run_quietly
from dragoman import atomic
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.checkout import git_commit
from dragoman.errors import ConfigError, DragomanError, run_cli
from dragoman.text.tokenizer import Tokenizer

TABLE_WIDTH = 150


@dataclass
class Contestant:
    """One server, or one limit, with its figures and translations so far."""

    name: str
    settings: str
    rounds: list[Figures] = field(default_factory=list)
    outputs: dict[int, str] = field(default_factory=dict)
    failed: str | None = None

    def add(self, result: LoadTestResult) -> None:
        """Add a round's figures and translations."""
        self.rounds.append(result.figures)
        self.outputs.update(result.outputs)

    def summary(self, references: tuple[str, ...]) -> dict[str, Any]:
        """Return medians over the rounds, each round, and the quality of the translations."""
        found: dict[str, Any] = {"settings": self.settings, "failed": self.failed}
        if self.rounds:
            found.update(medians(self.rounds), rounds=self.rounds, items=len(self.outputs))
        if self.outputs:
            hypotheses = [self.outputs[index] for index in sorted(self.outputs)]
            wanted = [[references[index] for index in sorted(self.outputs)]]
            found["bleu"] = round(BLEU().corpus_score(hypotheses, wanted).score, 2)
            found["chrf"] = round(CHRF().corpus_score(hypotheses, wanted).score, 2)
        return found


class Bench:
    """One run over all servers and limits."""

    def __init__(self, bundle: Bundle, plan: LoadPlan, workloads: Workloads, folder: Path, console: Console) -> None:
        self._bundle, self._plan, self._workloads, self._folder = bundle, plan, workloads, folder
        self._tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
        self._peers: list[Peer] = [
            OurBento(),
            OurTorchServe(),
            TorchServeHuggingFace(),
            BentoHuggingFace(),
            LitServe("ctranslate2"),
        ]
        if plan.all_peers:
            self._peers.append(LitServe("huggingface"))
        self._servers = {peer.name: Contestant(peer.name, peer.settings) for peer in self._peers}
        self._limits: dict[str, Contestant] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        phases = plan.rounds * (len(self._peers) * plan.phases + 1) + len(self._peers)
        self._task = self._progress.add_task("", total=phases)

    def run(self) -> None:
        """Measure everything; a server that fails is noted and left out of later rounds."""
        with self._progress:
            for number, peer in enumerate(self._peers):
                self._progress.update(self._task, description=f"preparing {peer.name}")
                folder = self._folder / f"peer-{number}"
                folder.mkdir()
                try:
                    peer.prepare(self._bundle, folder)
                except DragomanError as error:
                    self._fail(peer, str(error))
                self._progress.advance(self._task)
            for number in range(self._plan.rounds):
                self._measure_limits()
                for peer in self._peers if number % 2 == 0 else reversed(self._peers):
                    if self._servers[peer.name].failed is None:
                        self._test(peer, number)

    def results(self) -> dict[str, Any]:
        """Return everything measured so far, for the record and the tables."""
        references = self._workloads.references
        servers = {name: contestant.summary(references) for name, contestant in self._servers.items()}
        limits = {name: contestant.summary(references) for name, contestant in self._limits.items()}
        done = {name: tree for name, tree in servers.items() if "closed" in tree}
        return {
            "machine": machine(),
            "versions": versions(),
            "commit": git_commit(ROOT),
            "bundle": {"name": self._bundle.manifest.name, "version": self._bundle.manifest.version},
            "decoding": self._bundle.manifest.options["decoding"],
            "plan": asdict(self._plan),
            "servers": servers,
            "limits": limits,
            "ratios": {ours: ratios(done, ours) for ours in (BENTO, MAR) if ours in done},
            "targets": [{**asdict(target), "met": target.met} for target in targets(done, limits)],
        }

    def _test(self, peer: Peer, number: int) -> None:
        self._progress.update(self._task, description=f"starting {peer.name}")
        test = LoadTest(
            plan=self._plan,
            workloads=self._workloads,
            count=lambda text: len(self._tokenizer.encode(text)),
            logs=self._folder,
            report=functools.partial(self._report, peer.name),
        )
        try:
            self._servers[peer.name].add(test.run(peer, number))
        except DragomanError as error:
            self._fail(peer, f"round {number + 1}: {error}")

    def _measure_limits(self) -> None:
        self._progress.update(self._task, description="measuring the limits in-process")
        sentences = self._folder / "sentences.txt"
        lines = self._workloads.items[: self._plan.items]
        sentences.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        options = ("--bundle", str(self._bundle.path.resolve()), "--sentences", str(sentences))
        # OpenMP's threads would otherwise spin at each other as soon as anything else runs: generate was measured to
        # become seven times slower on two threads than on one.
        environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        measured = run_quietly(
            "benchmarks.translation.limits", *options, "--alone", str(self._plan.alone), environment=environment
        )
        for limit in json.loads(measured.output):
            name, settings, texts = limit.pop("name"), limit.pop("settings"), limit.pop("texts")
            contestant = self._limits.setdefault(name, Contestant(name, settings))
            contestant.add(LoadTestResult(figures=limit, outputs=dict(enumerate(texts))))
            self._progress.console.print(_line(name, "", limit))
        self._progress.advance(self._task)

    def _report(self, name: str, label: str, figures: Figures) -> None:
        self._progress.console.print(_line(name, label, figures))
        self._progress.update(self._task, description=name, advance=1)

    def _fail(self, peer: Peer, reason: str) -> None:
        self._servers[peer.name].failed = reason
        self._progress.console.print(f"{peer.name} failed: {reason}", markup=False)


def _line(name: str, label: str, figures: Mapping[str, Any]) -> str:
    line = f"{name:24} {label:32} {figures['requests_per_s']:7.1f}/s"
    if figures["p50_ms"] is not None:
        line += f"  p50 {figures['p50_ms']:7.1f} ms  p99 {figures['p99_ms']:7.1f} ms"
    return line + (f"  {figures['errors']} errors: {figures['error']}" if figures.get("errors") else "")


def main() -> int:
    """Measure, write the record, print the tables; 1 when a server failed."""
    options = _parser().parse_args()
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
    workloads = load_workloads(options.data)
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True) as folder:
        bench = Bench(open_bundle(options.bundle), plan, workloads, Path(folder), console)
        try:
            bench.run()
        finally:
            # What was measured before an interrupt is kept as well.
            results = {"command": " ".join(sys.argv[1:]), **bench.results()}
            atomic.write_json(out, results)
    # A log file has no width of its own; the tables are made to be read.
    show(Console(highlight=False, width=None if console.is_terminal else TABLE_WIDTH), results)
    console.print(f"record: {out}")
    return 1 if any(tree["failed"] for tree in results["servers"].values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.serve", description=__doc__)
    parser.add_argument("--bundle", required=True, type=Path, help="the bundle that every server serves")
    parser.add_argument("--quick", action="store_true", help="three minutes: one round, fewer loads, short ones")
    parser.add_argument("--rounds", type=int, help=f"tests of each server (default: {FULL.rounds}, with --quick 1)")
    parser.add_argument(
        "--data",
        type=Path,
        default=data_folder(),
        help="folder of multi30k and newstest (default: DRAGOMAN_DATA, or data: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="the JSON file to write (default: runs/bench-<time>.json)")
    return parser


if __name__ == "__main__":
    run_cli(main)
