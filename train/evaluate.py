"""Scores a bundle: ``python -m train.evaluate --bundle B --source F --reference F [--json]``.

BLEU and chrF as sacreBLEU defines them, with signatures and 95 % bootstrap intervals, decoded by the engine that ships.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from dragoman.errors import run_cli
from dragoman.manifest import Manifest, Score
from dragoman.predictor import load
from train.decode import Decoded, decode
from train.scoring import scores
from train.tasks.translation.sources.lines import read_aligned


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one bundle on one test set; ``failures`` are sentences it refused, which count as empty."""

    manifest: Manifest
    scores: list[Score]
    failures: Mapping[int, str]

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, ready for JSON."""
        return {
            "bundle": {
                "name": self.manifest.name,
                "version": self.manifest.version,
                "digest": f"sha256:{self.manifest.digest}",
            },
            "scores": [asdict(score) for score in self.scores],
            "failures": {str(line): reason for line, reason in self.failures.items()},
        }


def evaluate(bundle: Path, source: Path, reference: Path, *, engine: str = "auto", device: str = "auto") -> Evaluation:
    """Translate ``source`` and compare with ``reference``, line by line; raises DataError and BundleError."""
    pairs = read_aligned(source, reference)
    predictor = load(bundle, engine=engine, device=device)
    try:
        with Progress(console=Console(file=sys.stderr), transient=True) as progress:
            task = progress.add_task("translating", total=len(pairs))
            decoded: Decoded = decode(
                predictor, [text for text, _ in pairs], show=lambda done: progress.update(task, completed=done)
            )
        found = scores(
            decoded.hypotheses,
            [text for _, text in pairs],
            test_set=source.name,
            engine=str(predictor.describe()["engine"]),
            lower_cased=True,
        )
        return Evaluation(manifest=predictor.bundle.manifest, scores=found, failures=decoded.failures)
    finally:
        predictor.close()


def main() -> None:
    """Parse the command line and print the scores."""
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description="Scores a bundle: BLEU and chrF with sacreBLEU signatures and 95 % bootstrap intervals.",
        epilog="Files hold one sentence a line, UTF-8, plain or .gz; line n of one translates line n of the other.",
    )
    parser.add_argument("--bundle", required=True, type=Path, help="the bundle's directory")
    parser.add_argument("--source", required=True, type=Path, help="sentences to translate")
    parser.add_argument("--reference", required=True, type=Path, help="their translations")
    parser.add_argument(
        "--engine", default="auto", choices=("auto", "ctranslate2", "torch"), help="default: %(default)s"
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: auto")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = evaluate(options.bundle, options.source, options.reference, engine=options.engine, device=options.device)
    for line, reason in found.failures.items():
        print(f"{options.source}:{line}: {reason}; counted as empty", file=sys.stderr)
    print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if options.json else _table(found))


def _table(found: Evaluation) -> str:
    rows = [f"{found.manifest.name} {found.manifest.version}, {found.scores[0].segments} sentences"]
    rows += [
        f"{score.metric:<5}{score.value:7.2f}  [{score.low:.2f}, {score.high:.2f}]  {score.signature}"
        for score in found.scores
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    run_cli(main)
