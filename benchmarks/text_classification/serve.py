"""The benchmark of ``make bench TASK=text_classification``: our servers of classifiers and their peers, in one run.

python -m benchmarks.text_classification.serve --bundle runs/<id>/bundle [--quick]

All are under the same load: see ``benchmarks.serving.bench``. The model that is compared has four layers of width 512
and windows of 512 tokens, as long as the longest text that the peers do not cut, so that all compute the same for 97 %
of R8's articles; longer ones cost ours several windows and the peers one. These settings of ``python -m train`` make it
in ten minutes: ``model.num_layers=4``, ``model.d_model=512``, ``model.num_heads=8``, ``model.d_ff=2048``,
``model.initializer_range=0.044``, ``train.lr=0.0003``, ``windows.tokens=512``, ``windows.overlap=128``.
"""

import argparse
from pathlib import Path

from benchmarks.peers.base import ROOT, Peer
from benchmarks.peers.bento import ALONE, BATCHED, BentoPeer, json_texts
from benchmarks.peers.torchserve import TorchServePeer, plain_text
from benchmarks.serving.bench import TaskBench, run_bench
from benchmarks.serving.load_test import LoadPlan
from benchmarks.serving.tables import Words
from benchmarks.text_classification.outputs import of_best, of_label, quality
from benchmarks.text_classification.targets import PEERS, targets
from benchmarks.text_classification.workloads import load_workloads
from dragoman.errors import run_cli

HANDLER = Path(__file__).with_name("peers") / "torchserve_handler.py"
BESIDE = (ROOT / "train" / "tasks" / "torchvision_pair.py",)
SERVICES = "benchmarks.text_classification.peers.bento_service"


def peers(plan: LoadPlan) -> list[Peer]:
    """List the servers beside ours."""
    torchserve_alone, bento_alone, torchserve_batches, bento_batches = PEERS
    labels = plain_text(of_label)
    return [
        TorchServePeer(torchserve_alone, HANDLER, batch_size=1, max_batch_delay_ms=0, exchange=labels, beside=BESIDE),
        TorchServePeer(
            torchserve_batches, HANDLER, batch_size=8, max_batch_delay_ms=50, exchange=labels, beside=BESIDE
        ),
        BentoPeer(bento_alone, f"{SERVICES}:OneByOne", "/classify", ALONE, json_texts(ALONE, of_best)),
        BentoPeer(bento_batches, f"{SERVICES}:Batched", "/classify", BATCHED, json_texts(BATCHED, of_best)),
    ]


BENCH = TaskBench(
    words=Words(
        items="articles",
        short="20 words",
        long="1,000 words",
        quality={"accuracy": "accuracy, %", "agreement": "labels as ours, %"},
    ),
    load_workloads=load_workloads,
    peers=peers,
    limits="benchmarks.text_classification.limits",
    quality=quality,
    targets=targets,
)


def main() -> int:
    """Measure every server of classifiers; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_classification.serve", description=__doc__)
    return run_bench(BENCH, parser)


if __name__ == "__main__":
    run_cli(main)
