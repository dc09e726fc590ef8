"""BERT on a GPU, where every sequence is computed in a batch of one shape."""

import random
from pathlib import Path

import numpy
import pytest
import torch

from dragoman.bundle.store import open_bundle
from dragoman.tasks.text_classification.task import TextClassification
from tests.tiny_classifier import write_tiny_classifier

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_float16_is_near_float32_and_to_the_bit_the_same_alone_and_in_company(
    tmp_path: Path, toy_sentences: list[str]
) -> None:
    bundle = open_bundle(write_tiny_classifier(tmp_path, toy_sentences, width=128, window_tokens=200))
    on_cpu, on_cuda = (TextClassification(bundle, engine="torch", device=device).engine for device in ("cpu", "cuda"))
    chooser = random.Random(3)
    lengths = [2, 200, *(chooser.randrange(2, 200) for _ in range(200))]
    sequences = [[2, *(chooser.randrange(5, 60) for _ in range(length - 2)), 3] for length in lengths]
    alone = [on_cuda.logits([sequence])[0] for sequence in sequences]
    classes: dict[object, list[int]] = {}
    for place, length in enumerate(lengths):
        classes.setdefault(on_cuda.batch_class(length), []).append(place)
    for places in classes.values():
        together = on_cuda.logits([sequences[place] for place in places])
        assert together == [alone[place] for place in places]
    expected = numpy.array(on_cpu.logits(sequences))
    assert numpy.abs(numpy.array(alone) - expected).max() < 0.1 * expected.std()
