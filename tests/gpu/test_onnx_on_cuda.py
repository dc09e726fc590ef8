"""Classifiers of images on a GPU, where every image is computed in a batch of one shape."""

from pathlib import Path

import numpy
import pytest
import torch

from dragoman.bundle.store import open_bundle
from dragoman.tasks.image_classification.task import ImageClassification
from tests.tiny_images import random_pictures, write_tiny_images

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("side", [32, 224])
def test_logits_are_near_a_cpus_and_to_the_bit_the_same_alone_and_in_company(tmp_path: Path, side: int) -> None:
    bundle = open_bundle(write_tiny_images(tmp_path, height=side, width=side))
    on_cpu, on_cuda = (ImageClassification(bundle, engine="torch", device=device).engine for device in ("cpu", "cuda"))
    pictures = random_pictures(300, height=side, width=side)
    alone = [on_cuda.logits([picture])[0] for picture in pictures]
    for size in (7, 64, 300):
        for start in range(0, len(pictures), size):
            assert on_cuda.logits(pictures[start : start + size]) == alone[start : start + size]
    expected = numpy.array(on_cpu.logits(pictures))
    # Convolutions round their factors to TensorFloat-32.
    assert numpy.abs(numpy.array(alone) - expected).max() < 0.02 * expected.std()


def test_a_task_takes_torch_where_it_sees_cuda(tmp_path: Path) -> None:
    engine = ImageClassification(open_bundle(write_tiny_images(tmp_path)), engine="auto", device="auto").engine
    assert engine.describe() == {"engine": "torch", "device": "cuda", "parallel": 2}
