"""Throughput and latency of engines for images without a server, and of decoding alone; prints JSON.

python -m benchmarks.image_classification.limits --bundle B --items runs/<id>/held_out/test.parquet

Our own core, bare onnxruntime with an image at a time on each core, and bare torch over timm. Decoding is what a server
does for a file before the network sees it, resizing included.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.image_classification.peers.plain_onnxruntime import OnnxruntimeClassifier
from benchmarks.image_classification.targets import DECODING, ONNX, TORCH
from benchmarks.serving.limits import CORES, Answer, Measurement, print_limits
from dragoman.errors import run_cli

ONE_EACH = f"{CORES} images at once, on one thread each"


def bare_onnxruntime(measurement: Measurement) -> dict[str, Any]:
    """Measure onnxruntime with our decoding."""
    return measurement.measure(ONNX, f"fp32, {ONE_EACH}", _each(OnnxruntimeClassifier(measurement.bundle_dir)))


def decoding_alone(measurement: Measurement) -> dict[str, Any]:
    """Measure our decoding; it has no outputs to compare."""
    measured = measurement.measure(DECODING, ONE_EACH, _each(OnnxruntimeClassifier(measurement.bundle_dir).read))
    return {**measured, "outputs": []}


def bare_torch(measurement: Measurement) -> dict[str, Any]:
    """Measure timm's network with timm's transform."""
    # Imported here, so that torch is not loaded while our core is measured.
    from benchmarks.image_classification.peers.timm_classifier import TimmClassifier

    classifier = TimmClassifier(measurement.bundle_dir)
    answer = _each(lambda data: classifier.classify([classifier.read(data)])[0])
    return measurement.measure(TORCH, f"fp32, {ONE_EACH}", answer)


def _each(answer: Callable[[bytes], Any]) -> Answer:
    """Return a function that answers files one by one on every core."""

    def answer_all(files: Any) -> list[Any]:
        with ThreadPoolExecutor(CORES) as threads:
            return list(threads.map(answer, files))

    return answer_all


def main() -> None:
    """Measure every limit and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_classification.limits", description=__doc__)
    print_limits((bare_onnxruntime, decoding_alone, bare_torch), parser)


if __name__ == "__main__":
    run_cli(main)
