"""The benchmark of ``make bench TASK=image_classification``: our servers of images and their peers, in one run.

python -m benchmarks.image_classification.serve --bundle runs/<id>/bundle [--quick]

All are under the same load: see ``benchmarks.serving.bench``. The bundle holds a network of timm, ResNet-18 at 224
pixels in the figures of the documentation. Speed does not depend on weights, so one that was never trained will do.
"""

import argparse
from pathlib import Path

from benchmarks.image_classification.exchanges import file_for_scores, file_to_ours, form_for_scores
from benchmarks.image_classification.outputs import quality
from benchmarks.image_classification.targets import PEERS, targets
from benchmarks.image_classification.workloads import load_workloads
from benchmarks.peers.base import ROOT, Peer
from benchmarks.peers.bento import ALONE, BATCHED, BentoPeer
from benchmarks.peers.torchserve import TorchServePeer
from benchmarks.serving.bench import TaskBench, run_bench
from benchmarks.serving.load_test import LoadPlan
from benchmarks.serving.tables import Words
from dragoman.errors import run_cli

FOLDER = Path(__file__).with_name("peers")
HANDLER = FOLDER / "torchserve_handler.py"
BESIDE = (FOLDER / "timm_classifier.py", ROOT / "train" / "tasks" / "torchvision_pair.py")
SERVICES = "benchmarks.image_classification.peers.bento_service"


def peers(plan: LoadPlan) -> list[Peer]:
    """List the servers beside ours."""
    torchserve_alone, bento_alone, torchserve_batches, bento_batches = PEERS
    scores, one, many = (
        file_for_scores(),
        form_for_scores("image", is_list=False),
        form_for_scores("images", is_list=True),
    )
    return [
        TorchServePeer(torchserve_alone, HANDLER, batch_size=1, max_batch_delay_ms=0, exchange=scores, beside=BESIDE),
        TorchServePeer(
            torchserve_batches, HANDLER, batch_size=8, max_batch_delay_ms=50, exchange=scores, beside=BESIDE
        ),
        BentoPeer(bento_alone, f"{SERVICES}:OneByOne", "/classify", ALONE, one),
        BentoPeer(bento_batches, f"{SERVICES}:Batched", "/classify", BATCHED, many),
    ]


BENCH = TaskBench(
    words=Words(
        items="images",
        other="1280x960",
        short="thumbnails",
        long="12 megapixels",
        quality={"agreement": "labels as ours, %", "difference": "largest difference of scores, %"},
    ),
    load_workloads=lambda data, bundle: load_workloads(),
    peers=peers,
    limits="benchmarks.image_classification.limits",
    quality=quality,
    targets=targets,
    contract=file_to_ours,
)


def main() -> int:
    """Measure every server of images; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_classification.serve", description=__doc__)
    return run_bench(BENCH, parser)


if __name__ == "__main__":
    run_cli(main)
