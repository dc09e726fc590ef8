"""Commands that judge versions and move the champion."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.errors import ConfigError
from model_registry.commands.base import NAME, argument, bundle_directory, command, open_registry, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from model_registry.gate.held_out import HeldOut
    from model_registry.gate.settings import GateSettings
    from model_registry.promotion.decision import ChampionChange

EXAMPLES = """\
examples:
  python -m model_registry promote captions candidate
  python -m model_registry promote captions candidate --mode superiority
  python -m model_registry promote captions 7 --held-out fresh.parquet
  python -m model_registry promote captions 7 --inputs news.txt.gz --references expected.txt.gz
  python -m model_registry promote captions candidate --gate configs/strict.yaml --json

exit status: 0 promoted (or champion already), 1 rejected, 2 undecided: the interval is wider than the margin, and the
last line says how many more items would do"""
GATE_OPTIONS = (
    argument("--gate", type=Path, metavar="FILE", help="the gate's settings (default: those of the task)"),
    argument("--mode", choices=("non_inferiority", "superiority"), help="what passes (default: the settings' mode)"),
    argument("--held-out", type=Path, metavar="FILE", help="a held-out set: Parquet with columns id, input, reference"),
    argument("--inputs", type=Path, metavar="FILE", help="or its inputs as text, one a line, plain or .gz"),
    argument("--references", type=Path, metavar="FILE", help="and the expected outputs, line by line"),
    argument("--json", action="store_true", help="print the decision as JSON instead of tables"),
)
EXIT_STATUS = {"promoted": 0, "rejected": 1, "undecided": 2}


@command(
    "make a version champion, if it is good enough",
    NAME,
    argument("version", metavar="VERSION", help="a number, an alias (candidate) or a bundle version"),
    *GATE_OPTIONS,
    epilog=EXAMPLES,
)
def promote(options: argparse.Namespace) -> int:
    """Let a version and the champion answer the same held-out items, and make the version champion if it passes.

    Both answer as they are served. The version must pass the guards (the task's own, batch invariance, latency, size),
    then the paired bootstrap interval of the difference in the task's metric is held against a margin. A first champion
    needs the floor that the settings ask for, and must do better than the first baseline of its training. The old
    champion becomes previous. Settings are the section gate: of configs/task/TASK.yaml.

    Items are the test sets of the training run that made the version, if they were held out for the champion as well,
    or the files given. Held-out means: neither trained on nor chosen by; the gate can check that only for its own runs.
    Every decision is kept: see history, the run in MLflow, and the version's tag gate.
    """
    # Wrong files are reported before MLflow is waited for.
    settings_of, held_out = _gate_settings(options), _held_out(options)
    from model_registry.promotion import report
    from model_registry.promotion.promote import promote

    change = promote(open_registry(options), options.name, options.version, settings_of, held_out)
    if options.json:
        _print_json(report.as_dict(change))
    else:
        _show(change)
    return EXIT_STATUS[change.verdict]


@command(
    "show how the gate would judge two bundles",
    argument("candidate", type=Path, metavar="CANDIDATE", help="a run or bundle directory"),
    argument("champion", type=Path, metavar="CHAMPION", help="the one that it is compared with"),
    *GATE_OPTIONS,
)
def compare(options: argparse.Namespace) -> int:
    """Put two bundles or runs on disk through the gate as promote does, without a registry and without consequences.

    Items are the held-out sets in the first one's run directory, or the files given. The exit status is that of
    promote.
    """
    settings_of, held_out = _gate_settings(options), _held_out(options)
    candidate, champion = bundle_directory(options.candidate), bundle_directory(options.champion)
    from model_registry.gate.comparison import compare_bundles
    from model_registry.promotion import report

    judgement = compare_bundles(candidate, champion, settings_of, held_out)
    if options.json:
        _print_json(report.judgement_as_dict(judgement))
    else:
        report.show_judgement(judgement, "candidate", "champion", _console())
        print(f"would be {judgement.verdict}: {judgement.reason}")
    return EXIT_STATUS[judgement.verdict]


@command(
    "make the previous champion champion again",
    NAME,
    argument("--reason", default="no reason given", metavar="TEXT", help="why, for the history"),
)
def rollback(options: argparse.Namespace) -> None:
    """Swap champion and previous, after verifying the bundle that comes back; a second rollback undoes the first."""
    registry = open_registry(options)
    from model_registry.promotion.promote import rollback

    _show(rollback(registry, options.name, options.reason))


@command(
    "show every decision of the gate and every rollback",
    NAME,
    argument("--json", action="store_true", help="print JSON instead of a table"),
)
def history(options: argparse.Namespace) -> None:
    """Show who promoted, rejected or rolled back what, when and why, newest first.

    It first settles whatever a command that was killed has left unfinished.
    """
    registry = open_registry(options)
    from model_registry.promotion.promote import history

    decisions = history(registry, options.name)
    if options.json:
        _print_json([{**asdict(one), "at": one.at.isoformat()} for one in decisions])
        return
    header = ("WHEN (UTC)", "WHO", "WHAT", "VERSION", "CHAMPION", "VERDICT", "WHY")
    fields = ("who", "kind", "candidate", "champion", "verdict", "reason")
    print_table(
        header, [(f"{one.at:%Y-%m-%d %H:%M:%S}", *(getattr(one, field) for field in fields)) for one in decisions]
    )


def _gate_settings(options: argparse.Namespace) -> "Callable[[str], GateSettings]":
    """Read the settings that were given, or those of the candidate's task once it is known."""
    from model_registry.gate.settings import load_settings, task_settings

    given = load_settings(options.gate) if options.gate else None

    def settings_of(task: str) -> "GateSettings":
        settings = given or task_settings(task)
        return replace(settings, mode=options.mode) if options.mode else settings

    return settings_of


def _held_out(options: argparse.Namespace) -> "HeldOut | None":
    from model_registry.gate.held_out import from_file, from_lines

    if (options.inputs is None) != (options.references is None):
        raise ConfigError("--inputs and --references belong together; give both or neither")
    if options.held_out and options.inputs:
        raise ConfigError("--held-out and --inputs are two ways of giving one set; give one of them")
    if options.held_out:
        return from_file(options.held_out)
    return from_lines(options.inputs, options.references) if options.inputs else None


def _show(change: "ChampionChange") -> None:
    from model_registry.promotion import report

    report.show(change, _console())
    if change.changed and change.replaced is not None:
        print(f"previous: {change.replaced.reference} bundle {change.replaced.bundle_version}")


def _console() -> "Console":
    from rich.console import Console

    from model_registry.promotion.report import WIDTH

    return Console(width=None if sys.stdout.isatty() else WIDTH)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
