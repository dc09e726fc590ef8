"""Scoring of a bundle on a test set: ``python -m train.evaluate --bundle B --test FILE [--reference FILE]``.

The metrics are the task's, with their signatures and 95 % bootstrap intervals, of the engine that ships.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from dragoman.bundle.manifest import Manifest, Score
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, run_cli
from dragoman.predictor import answer_all, load
from scoring.held_out import short_digest
from scoring.table import figure
from train.data.corpus import Example, held_out_items
from train.data.test_set import read_test_set
from train.run.scores import scores
from train.tasks.base import task_class


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one bundle on one test set; ``failures`` are items it refused, by their number from 1.

    ``baselines`` are the scores that its training has noted for simple methods on the same items.
    """

    manifest: Manifest
    scores: list[Score]
    baselines: list[Score]
    failures: Mapping[int, str]

    def as_dict(self) -> dict[str, Any]:
        """Give the evaluation, ready for JSON."""
        return {
            "bundle": {
                "name": self.manifest.name,
                "version": self.manifest.version,
                "digest": f"sha256:{self.manifest.digest}",
            },
            "scores": [asdict(score) for score in self.scores],
            **({"baselines": [asdict(score) for score in self.baselines]} if self.baselines else {}),
            "failures": {str(number): reason for number, reason in self.failures.items()},
        }


def evaluate(
    bundle: Bundle, examples: Sequence[Example], *, test_set: str, engine: str = "auto", device: str = "auto"
) -> Evaluation:
    """Answer every input and compare with its reference; raises ConfigError when the engine is not to be had."""
    task = task_class(bundle.manifest.task)
    predictor = load(bundle, engine=engine, device=device)
    try:
        with Progress(console=Console(file=sys.stderr), transient=True) as progress:
            bar = progress.add_task("answering", total=len(examples))
            answered = answer_all(
                predictor, [item for item, _ in examples], lambda done: progress.update(bar, completed=done)
            )
        found = scores(
            (*task.metrics, *task.further_metrics),
            answered.plain,
            [reference for _, reference in examples],
            test_set=test_set,
            engine=str(predictor.describe()["engine"]),
        )
        failures = {index + 1: reason for index, reason in answered.refused.items()}
        # A label ends in a digest of the items, whatever the set is called here.
        digest = short_digest(held_out_items(examples))
        baselines = [score for score in bundle.manifest.baselines if score.test_set.endswith(f"@{digest}")]
        return Evaluation(manifest=bundle.manifest, scores=found, baselines=baselines, failures=failures)
    finally:
        predictor.close()


def main() -> None:
    """Parse the command line and print the scores."""
    options = _parser().parse_args()
    bundle = open_bundle(options.bundle)
    if options.held_out is not None and (options.test, options.reference) != (None, None):
        raise ConfigError("give a test set once: --held-out FILE.parquet alone, or --test FILE")
    test = options.test or options.held_out
    if test is None:
        raise ConfigError("give a test set: --test FILE, where a file of inputs needs --reference FILE as well")
    files = [test] if options.reference is None else [test, options.reference]
    task = task_class(bundle.manifest.task)
    examples = read_test_set(files, options.columns, task.read_files)
    task.check_references(bundle.manifest.options, examples)
    found = evaluate(bundle, examples, test_set=test.name, engine=options.engine, device=options.device)
    for number, reason in found.failures.items():
        print(f"{test}:{number}: {reason}; counted as no output", file=sys.stderr)
    print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if options.json else _table(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description="Score a bundle by its task's metrics, with their signatures and 95 % bootstrap intervals.",
        epilog="A test set is a held-out set, as a run keeps them in runs/<id>/held_out/, or what the task reads: "
        "two of texts, one a line, UTF-8, plain or .gz, line n of one belonging to line n of the other, or a table.",
    )
    parser.add_argument("--bundle", required=True, type=Path, help="the bundle's directory")
    parser.add_argument(
        "--source",
        "--test",
        dest="test",
        type=Path,
        metavar="FILE",
        help="a held-out set, inputs, or a table",
    )
    parser.add_argument("--reference", type=Path, metavar="FILE", help="a file of what the inputs should give")
    parser.add_argument(
        "--columns", type=lambda text: text.split(","), metavar="INPUT,REFERENCE", help="columns of a table"
    )
    parser.add_argument("--held-out", type=Path, metavar="FILE.parquet", help="the same as --test, for a held-out set")
    parser.add_argument("--engine", default="auto", help="auto, or one that the task has (default: %(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: auto")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _table(found: Evaluation) -> str:
    rows = [f"{found.manifest.name} {found.manifest.version}, {found.scores[0].items} items"]
    width = max(len(score.metric) for score in found.scores)
    for score in found.scores:
        rows.append(_row(score.metric.ljust(width), score, score.signature))
        theirs = [other for other in found.baselines if other.metric == score.metric]
        rows += [_row(" " * width, other, other.engine) for other in theirs]
    return "\n".join(rows)


def _row(name: str, score: Score, note: str) -> str:
    value, low, high = (figure(score.metric, number) for number in (score.value, score.low, score.high))
    return f"{name}{value:>7}  [{low}, {high}]  {note}"


if __name__ == "__main__":
    run_cli(main)
