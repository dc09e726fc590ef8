"""Scoring of a bundle: ``python -m train.evaluate --bundle B --source F --reference F`` or ``--held-out FILE``.

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
from dragoman.errors import ConfigError, DataError, run_cli
from dragoman.predictor import answer_all, load
from scoring.held_out import HeldOutError, read_held_out
from train.data.corpus import Example
from train.run.scores import scores
from train.tasks.base import task_class


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one bundle on one test set; ``failures`` are items it refused, by their number from 1."""

    manifest: Manifest
    scores: list[Score]
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
        return Evaluation(manifest=bundle.manifest, scores=found, failures=failures)
    finally:
        predictor.close()


def main() -> None:
    """Parse the command line and print the scores."""
    options = _parser().parse_args()
    bundle = open_bundle(options.bundle)
    origin, examples = _examples(options, bundle)
    found = evaluate(bundle, examples, test_set=origin.name, engine=options.engine, device=options.device)
    for number, reason in found.failures.items():
        print(f"{origin}:{number}: {reason}; counted as no output", file=sys.stderr)
    print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if options.json else _table(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description="Score a bundle by its task's metrics, with their signatures and 95 % bootstrap intervals.",
        epilog="Two files are read as the task reads them: of texts, one a line, UTF-8, plain or .gz, line n of one "
        "belonging to line n of the other. A run keeps its held-out sets in runs/<id>/held_out/.",
    )
    parser.add_argument("--bundle", required=True, type=Path, help="the bundle's directory")
    parser.add_argument("--source", type=Path, help="file of inputs")
    parser.add_argument("--reference", type=Path, help="file of what they should give")
    parser.add_argument("--held-out", type=Path, metavar="FILE.parquet", help="a held-out set, in place of two files")
    parser.add_argument("--engine", default="auto", help="auto, or one that the task has (default: %(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: auto")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _examples(options: argparse.Namespace, bundle: Bundle) -> tuple[Path, list[Example]]:
    """Read the test set that was named, with the file that its messages name."""
    pair = (options.source, options.reference)
    if options.held_out is not None and pair == (None, None):
        try:
            items = read_held_out(options.held_out)
        except HeldOutError as error:
            raise DataError(str(error)) from error
        if not items:
            raise DataError(f"{options.held_out} holds no items; give a set with one at least")
        return options.held_out, [(item.input, item.reference) for item in items]
    if options.held_out is None and None not in pair:
        return options.source, task_class(bundle.manifest.task).read_files(*pair)
    raise ConfigError("give a test set: --source FILE with --reference FILE, or --held-out FILE.parquet alone")


def _table(found: Evaluation) -> str:
    rows = [f"{found.manifest.name} {found.manifest.version}, {found.scores[0].items} items"]
    rows += [
        f"{score.metric:<5}{score.value:7.2f}  [{score.low:.2f}, {score.high:.2f}]  {score.signature}"
        for score in found.scores
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    run_cli(main)
