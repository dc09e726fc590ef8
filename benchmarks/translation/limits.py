"""Throughput and latency of the engines without a server, which no server over them can pass; prints JSON.

python -m benchmarks.translation.limits --bundle B --sentences FILE --limit N

Bare CTranslate2, bare ``generate``, and our own core, called as the servers call it. All sentences at once give the
throughput, one at a time the latency.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.load_figures import percentile
from benchmarks.translation.peers.plain_ctranslate2 import CTranslate2Translator
from dragoman.errors import run_cli
from dragoman.items.outcomes import Result
from dragoman.predictor import load
from dragoman.text.lines import read_lines
from dragoman.text.tokenizer import Tokenizer

CORES = os.cpu_count() or 1
# Of 512 to 4,096 the smallest from which on longer batches gain nothing measurable.
BATCH_TOKENS = 2_048
GENERATE_BATCH = 32

Translate = Callable[[Sequence[str]], list[str]]


class Measurement:
    """The sentences that every limit is measured with."""

    def __init__(self, bundle_dir: Path, sentences: Sequence[str], *, alone: int) -> None:
        self.bundle_dir = str(bundle_dir)
        self._sentences, self._alone = sentences, alone
        self._tokenizer = Tokenizer(bundle_dir / "model" / "spiece.model")

    def measure(self, name: str, settings: str, together: Translate, alone: Translate) -> dict[str, Any]:
        """Warm up, translate all sentences together, then the first ones alone; gives figures and translations."""
        together(self._sentences[:8])
        seconds, texts = _timed(together, self._sentences)
        latencies = [1000 * _timed(alone, [sentence])[0] for sentence in self._sentences[: self._alone]]
        tokens = sum(len(self._tokenizer.encode(text)) for text in texts)
        return {
            "name": name,
            "settings": settings,
            "requests_per_s": round(len(texts) / seconds, 2),
            "target_tokens_per_s": round(tokens / seconds, 1),
            "p50_ms": percentile(latencies, 50),
            "p99_ms": percentile(latencies, 99),
            "texts": texts,
        }


def _timed(translate: Translate, texts: Sequence[str]) -> tuple[float, list[str]]:
    started = time.perf_counter()
    translations = translate(texts)
    return time.perf_counter() - started, translations


def our_core(measurement: Measurement) -> dict[str, Any]:
    """Measure the predictor that both our servers hold, tokenizing included."""
    predictor = load(measurement.bundle_dir, device="cpu")

    def translate(texts: Sequence[str]) -> list[str]:
        return [outcome.value.text if isinstance(outcome, Result) else "" for outcome in predictor(list(texts))]

    try:
        return measurement.measure("our core in-process", "as it ships", translate, translate)
    finally:
        predictor.close()


def bare_ctranslate2(measurement: Measurement) -> dict[str, Any]:
    """Measure ``translate_batch``, which sorts all sentences by length and cuts them into batches itself."""
    translator = CTranslate2Translator(measurement.bundle_dir, workers=CORES)
    return measurement.measure(
        "CTranslate2 in-process",
        f"int8, inter_threads={CORES}, intra_threads=1, max_batch_size={BATCH_TOKENS} tokens",
        lambda texts: translator(texts, max_batch_tokens=BATCH_TOKENS),
        translator,
    )


def bare_generate(measurement: Measurement) -> dict[str, Any]:
    """Measure ``generate``, in batches sorted by length."""
    # Imported here, so that torch is not loaded while the others are measured.
    from benchmarks.translation.peers.huggingface import HuggingFaceTranslator

    translate = HuggingFaceTranslator(measurement.bundle_dir, threads=CORES)

    def in_batches(texts: Sequence[str]) -> list[str]:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found: dict[int, str] = {}
        for start in range(0, len(order), GENERATE_BATCH):
            batch = order[start : start + GENERATE_BATCH]
            found.update(zip(batch, translate([texts[index] for index in batch]), strict=True))
        return [found[index] for index in range(len(texts))]

    settings = f"fp32, {CORES} threads, batches of {GENERATE_BATCH} of similar length"
    return measurement.measure("generate in-process", settings, in_batches, translate)


def main() -> None:
    """Measure every limit and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.limits", description=__doc__)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--sentences", required=True, help="a UTF-8 file, plain or .gz, one sentence a line")
    parser.add_argument("--limit", type=int, default=1_000, help="how many of its lines (default: %(default)s)")
    parser.add_argument("--alone", type=int, default=60, help="how many one at a time (default: %(default)s)")
    options = parser.parse_args()
    sentences = [line for line in read_lines(options.sentences) if line.strip()][: options.limit]
    measurement = Measurement(options.bundle, sentences, alone=options.alone)
    print(json.dumps([measure(measurement) for measure in (our_core, bare_ctranslate2, bare_generate)]))


if __name__ == "__main__":
    run_cli(main)
