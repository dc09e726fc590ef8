"""The graphs to which networks of timm are exported, in both engines: what they compute is what timm computes."""

from pathlib import Path

import numpy
import pytest
import torch

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.onnx.session import OnnxClassifier
from dragoman.engines.onnx.torch_graph import TorchClassifier
from dragoman.tasks.image_classification.options import Preprocessing
from tests.tiny_images import random_pictures
from train.tasks.image_classification.networks.classifier import Classifier
from train.tasks.image_classification.networks.export import export_graph
from train.tasks.image_classification.networks.weights import import_timm

SIDE, LABELS = 64, 10


def make_classifier(name: str, preprocessing: Preprocessing) -> Classifier:
    torch.manual_seed(1)
    size = {"img_size": SIDE} if "vit" in name else {}
    network = import_timm().create_model(name, num_classes=LABELS, **size)
    classifier = Classifier(network, preprocessing)
    with torch.no_grad():
        for parameter in network.parameters():
            # Random weights of the head are so small that all pictures get one answer, and biases are nought.
            parameter.mul_(1.5).add_(0.02 * torch.randn_like(parameter))
        # Maps grow from layer to layer until their normalisation has seen some pictures.
        classifier.train()
        pictures = torch.tensor(numpy.frombuffer(b"".join(pictures_of(8)), numpy.uint8).copy())
        for _ in range(8):
            classifier(pictures.view(-1, SIDE, SIDE, 3))
    return classifier.eval()


def pictures_of(count: int) -> list[bytes]:
    return random_pictures(count, height=SIDE, width=SIDE)


# One of each kind: convolutions and pools; depthwise ones with gates; layers normalised with channels last; attention.
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_both_engines_compute_what_timm_computes(name: str, tiny_images: Path, tmp_path: Path) -> None:
    preprocessing = Preprocessing(height=SIDE, width=SIDE)
    classifier = make_classifier(name, preprocessing)
    (tmp_path / "engines" / "onnx").mkdir(parents=True)
    export_graph(classifier, preprocessing, tmp_path / "engines" / "onnx" / "model.onnx", labels=LABELS)
    bundle = Bundle(tmp_path, open_bundle(tiny_images).manifest)
    pictures = pictures_of(9)
    pixels = numpy.frombuffer(b"".join(pictures), numpy.uint8).reshape(-1, SIDE, SIDE, 3)
    with torch.inference_mode():
        expected = classifier(torch.tensor(pixels)).numpy()
    assert expected.std(axis=0).mean() > 0.05
    for engine in (OnnxClassifier, TorchClassifier):
        assert engine.cannot_open(bundle) is None
        opened = engine(bundle, "cpu", height=SIDE, width=SIDE, labels=LABELS)
        found = opened.logits(pictures)
        assert numpy.abs(numpy.array(found) - expected).max() < 1e-4
        assert opened.logits(pictures[4:5]) == found[4:5]
        opened.close()
