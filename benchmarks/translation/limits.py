"""Throughput and latency of translation's engines without a server, which no server over them can pass; prints JSON.

python -m benchmarks.translation.limits --bundle B --items runs/<id>/held_out/test.parquet

Our own core, bare CTranslate2, and bare ``generate``.
"""

import argparse
from typing import Any

from benchmarks.serving.limits import BATCH, CORES, Measurement, in_batches, print_limits
from benchmarks.translation.peers.plain_ctranslate2 import CTranslate2Translator
from benchmarks.translation.targets import BARE
from benchmarks.translation.workloads import token_counter
from dragoman.errors import run_cli

# Of 512 to 4,096 the smallest from which on longer batches gain nothing measurable.
BATCH_TOKENS = 2_048


def bare_ctranslate2(measurement: Measurement) -> dict[str, Any]:
    """Measure ``translate_batch``, which sorts all sentences by length and cuts them into batches itself."""
    translator = CTranslate2Translator(measurement.bundle_dir, workers=CORES)
    return measurement.measure(
        BARE,
        f"int8, inter_threads={CORES}, intra_threads=1, max_batch_size={BATCH_TOKENS} tokens",
        lambda texts: translator(texts, max_batch_tokens=BATCH_TOKENS),
        translator,
    )


def bare_generate(measurement: Measurement) -> dict[str, Any]:
    """Measure ``generate``, in batches sorted by length."""
    # Imported here, so that torch is not loaded while the others are measured.
    from benchmarks.translation.peers.huggingface import HuggingFaceTranslator

    translate = HuggingFaceTranslator(measurement.bundle_dir, threads=CORES)
    settings = f"fp32, {CORES} threads, batches of {BATCH} of similar length"
    return measurement.measure("generate in-process", settings, in_batches(translate))


def main() -> None:
    """Measure every limit and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.limits", description=__doc__)
    print_limits((bare_ctranslate2, bare_generate), parser, token_counter)


if __name__ == "__main__":
    run_cli(main)
