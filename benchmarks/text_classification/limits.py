"""Throughput and latency of engines for classification without a server; prints JSON.

python -m benchmarks.text_classification.limits --bundle B --items runs/<id>/held_out/test.parquet

Our own core, bare CTranslate2 in int8 and bare torch in fp32; both bare ones compute the same batches.
"""

import argparse
from typing import Any

from benchmarks.serving.limits import BATCH, CORES, Measurement, in_batches, print_limits
from benchmarks.text_classification.outputs import of_best
from benchmarks.text_classification.targets import INT8, TORCH
from dragoman.errors import run_cli

# The layout of the servers: with OpenMP's threads inside a batch, both would be slower on a machine that is not idle.
BATCHES = f"{CORES} batches at once, on one thread each, of {BATCH} of similar length"


def bare_ctranslate2(measurement: Measurement) -> dict[str, Any]:
    """Measure CTranslate2's encoder."""
    from benchmarks.text_classification.peers.plain_ctranslate2 import CTranslate2Classifier

    return _measured(measurement, INT8, "int8", CTranslate2Classifier(measurement.bundle_dir, workers=CORES))


def bare_torch(measurement: Measurement) -> dict[str, Any]:
    """Measure ``AutoModelForSequenceClassification``."""
    # Imported here, so that torch is not loaded while our core is measured.
    from benchmarks.text_classification.peers.huggingface import HuggingFaceClassifier

    return _measured(measurement, TORCH, "fp32", HuggingFaceClassifier(measurement.bundle_dir))


def _measured(measurement: Measurement, name: str, precision: str, classify: Any) -> dict[str, Any]:
    answer = in_batches(lambda texts: [of_best(found) for found in classify(texts)], at_once=CORES)
    return measurement.measure(name, f"{precision}, {BATCHES}", answer)


def main() -> None:
    """Measure every limit and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_classification.limits", description=__doc__)
    print_limits((bare_ctranslate2, bare_torch), parser)


if __name__ == "__main__":
    run_cli(main)
