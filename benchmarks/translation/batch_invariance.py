"""A check that a sentence's translation does not depend on the sentences beside it, for each engine on this processor.

python -m benchmarks.translation.batch_invariance --bundle runs/<id>/bundle --sentences FILE

The engine checks itself on random input when it starts; this checks real sentences through the whole core.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dragoman.errors import run_cli
from dragoman.items.outcomes import Result
from dragoman.predictor import Predictor, load
from dragoman.tasks.translation.request import TranslationItem
from dragoman.tasks.translation.result import Translation
from dragoman.text.lines import read_lines

ENGINES = ("ctranslate2", "torch")
# Two hypotheses whose length-normalised log-probabilities are closer than this are a tie: either is right.
TIE = 1e-4
MIXES = 4


@dataclass(frozen=True, kw_only=True)
class Invariance:
    """Counts of translations in batches, compared with the same sentences' alone."""

    engine: str
    mixing: str
    sentences: int
    mixes: int
    identical: int
    ties: int
    different: int


def measure(bundle: str | Path, sentences: Sequence[str], *, engine: str) -> Invariance:
    """Translate each sentence alone, then all of them in several random orders and list lengths, and compare."""
    predictor = load(bundle, engine=engine)
    try:
        alone = [_translate(predictor, [sentence])[0] for sentence in sentences]
        mixing = str(predictor.describe().get("mixing", "any"))
        counts = {"identical": 0, "ties": 0, "different": 0}
        for seed in range(MIXES):
            order = random.Random(seed).sample(range(len(sentences)), len(sentences))
            # Every mix cuts the sentences into other lists, so that batches differ in size as well as in company.
            size = (7, 32, 100, len(sentences))[seed % 4]
            for start in range(0, len(order), size):
                part = order[start : start + size]
                together = _translate(predictor, [sentences[row] for row in part])
                for row, found in zip(part, together, strict=True):
                    counts[_verdict(alone[row], found)] += 1
    finally:
        predictor.close()
    return Invariance(engine=engine, mixing=mixing, sentences=len(sentences), mixes=MIXES, **counts)


def _translate(predictor: Predictor, sentences: Sequence[str]) -> list[Translation | None]:
    """Return one translation a sentence, None where the predictor refuses it."""
    decoding = predictor.task.options.decoding
    outcomes = predictor([TranslationItem(text=text, decoding=decoding, return_scores=True) for text in sentences])
    return [outcome.value if isinstance(outcome, Result) else None for outcome in outcomes]


def _verdict(alone: Translation | None, found: Translation | None) -> str:
    if alone is None or found is None:
        return "identical" if alone is found else "different"
    if alone.text == found.text:
        return "identical"
    return "ties" if abs(alone.scores[0] - found.scores[0]) <= TIE else "different"


def main() -> int:
    """Measure both engines and print one line each; 1 when a translation differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.batch_invariance", description=__doc__)
    parser.add_argument("--bundle", required=True, help="a bundle directory")
    parser.add_argument("--sentences", required=True, help="a UTF-8 file, plain or .gz, one sentence a line")
    parser.add_argument("--limit", type=int, default=500, help="how many of its lines (default: %(default)s)")
    arguments = parser.parse_args()
    sentences = [line for line in read_lines(arguments.sentences) if line.strip()][: arguments.limit]
    different = 0
    for engine in ENGINES:
        found = measure(arguments.bundle, sentences, engine=engine)
        print(json.dumps(asdict(found)), flush=True)
        different += found.different
    return 1 if different else 0


if __name__ == "__main__":
    run_cli(main)
