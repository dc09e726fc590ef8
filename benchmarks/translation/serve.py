"""The benchmark of ``make bench``: our servers of translations and their peers, under the same load, in one run.

python -m benchmarks.translation.serve --bundle runs/<id>/bundle [--quick]

See ``benchmarks.serving.bench``. Speed needs the geometry of t5-small: see
``python -m benchmarks.translation.widened_bundle``.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

from benchmarks.peers.base import ROOT, Peer
from benchmarks.peers.bento import BATCHED, BentoPeer, json_texts
from benchmarks.peers.torchserve import TorchServePeer, plain_text
from benchmarks.serving.bench import TaskBench, run_bench
from benchmarks.serving.load_test import LoadPlan
from benchmarks.serving.tables import Words
from benchmarks.translation.peers.litserve import LitServe
from benchmarks.translation.targets import GENERATE_PEERS, targets
from benchmarks.translation.workloads import load_workloads, token_counter
from dragoman.errors import run_cli

PEERS = Path(__file__).with_name("peers")
BESIDE = (ROOT / "train" / "tasks" / "torchvision_pair.py",)


def peers(plan: LoadPlan) -> list[Peer]:
    """List the servers beside ours."""
    torchserve, bento = GENERATE_PEERS
    found: list[Peer] = [
        # The example names no batch size, which leaves 1. TorchServe's page on batching has 8 and 50 ms; 16 was
        # measured to be faster at 32 clients, and the shorter delay costs a single client less.
        TorchServePeer(
            torchserve,
            PEERS / "torchserve_handler.py",
            batch_size=16,
            max_batch_delay_ms=10,
            exchange=plain_text(),
            beside=BESIDE,
        ),
        BentoPeer(
            bento, "benchmarks.translation.peers.bento_service:Batched", "/translate", BATCHED, json_texts(BATCHED)
        ),
        LitServe("ctranslate2"),
    ]
    return [*found, LitServe("huggingface")] if plan.all_peers else found


def quality(outputs: Mapping[int, Any], references: Sequence[Any], ours: Mapping[int, Any]) -> dict[str, float]:
    """Score translations against their references."""
    hypotheses = [outputs[index] for index in sorted(outputs)]
    wanted = [[references[index] for index in sorted(outputs)]]
    return {
        "bleu": BLEU().corpus_score(hypotheses, wanted).score,
        "chrf": CHRF().corpus_score(hypotheses, wanted).score,
    }


BENCH = TaskBench(
    words=Words(
        items="sentences",
        other="news",
        short="5 words",
        long="documents",
        quality={"bleu": "BLEU", "chrf": "chrF"},
    ),
    load_workloads=lambda data, bundle: load_workloads(data),
    peers=peers,
    limits="benchmarks.translation.limits",
    quality=quality,
    targets=targets,
    counter=lambda bundle: token_counter(bundle.path),
)


def main() -> int:
    """Measure every server of translations; 1 when one failed."""
    return run_bench(BENCH, argparse.ArgumentParser(prog="python -m benchmarks.translation.serve", description=__doc__))


if __name__ == "__main__":
    run_cli(main)
