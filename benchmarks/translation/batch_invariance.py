"""Whether a sentence's translation depends on the sentences beside it, for each engine.

python -m benchmarks.translation.batch_invariance --bundle runs/<id>/bundle --sentences FILE
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dragoman.bundle.store import open_bundle
from dragoman.engines.seq2seq import Decoding, Hypothesis, Seq2SeqEngine
from dragoman.errors import run_cli
from dragoman.items.outcomes import Result
from dragoman.predictor import Predictor, load
from dragoman.tasks.translation.request import TranslationItem
from dragoman.tasks.translation.result import Translation
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.lines import read_lines
from dragoman.text.tokenizer import EOS_ID, Tokenizer

ENGINES = ("ctranslate2", "torch")
# Two hypotheses whose length-normalised log-probabilities are closer than this are a tie: either is right.
TIE = 1e-4
MIXES = 4
PADDED_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Invariance:
    """How translations in batches compare with the same sentences' alone."""

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
                for row, found in zip(part, _translate(predictor, [sentences[row] for row in part]), strict=True):
                    counts[_verdict(alone[row], found)] += 1
    finally:
        predictor.close()
    return Invariance(engine=engine, mixing=mixing, sentences=len(sentences), mixes=MIXES, **counts)


@dataclass(frozen=True, kw_only=True)
class PaddingEffect:
    """What batches of unequal lengths change, however unlike their sentences."""

    engine: str
    sentences: int
    padded_batches_change_hypotheses: int
    padded_batches_change_scores: int
    largest_change_of_score: float


def padding_effect(bundle_dir: str | Path, sentences: Sequence[str], *, engine: str) -> PaddingEffect:
    """Decode each sentence alone and in random, padded batches, by the engine itself, and compare."""
    bundle = open_bundle(bundle_dir)
    task, tokenizer = TranslationTask(bundle, engine=engine, device="cpu"), Tokenizer(bundle.model_dir / "spiece.model")
    options, opened = task.options, task.engine
    sources = [[*tokenizer.encode(options.preprocessing.prefix + text), EOS_ID] for text in sentences]
    order = random.Random(0).sample(range(len(sources)), len(sources))
    texts, changes = 0, []
    for start in range(0, len(order), PADDED_BATCH):
        rows = order[start : start + PADDED_BATCH]
        padded = _decode(opened, [sources[row] for row in rows], options.decoding)
        for row, found in zip(rows, padded, strict=True):
            (alone,) = _decode(opened, [sources[row]], options.decoding)
            texts += alone.ids != found.ids
            changes.append(abs((alone.score or 0.0) - (found.score or 0.0)))
    task.close()
    return PaddingEffect(
        engine=engine,
        sentences=len(sentences),
        padded_batches_change_hypotheses=texts,
        padded_batches_change_scores=sum(change > TIE for change in changes),
        largest_change_of_score=round(max(changes), 6),
    )


def _decode(engine: Seq2SeqEngine, sources: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
    return [row[0] for row in engine.decode(sources, decoding, num_hypotheses=1, return_scores=True)]


def _translate(predictor: Predictor, sentences: Sequence[str]) -> list[Translation | None]:
    """One translation a sentence, None where the predictor refuses it."""
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
    found = [measure(arguments.bundle, sentences, engine=engine) for engine in ENGINES]
    for result in found:
        print(json.dumps(asdict(result)))
    for engine in ENGINES:
        print(json.dumps(asdict(padding_effect(arguments.bundle, sentences, engine=engine))))
    return 1 if any(result.different for result in found) else 0


if __name__ == "__main__":
    run_cli(main)
