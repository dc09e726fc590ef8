"""The engines of classifiers: against transformers, and to the bit the same alone and in company."""

import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.numpy import load_file, save_file

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines import torch_bert
from dragoman.engines.bert.classifier import Head, SequenceClassifier
from dragoman.engines.bert.model import BertSizes, load_encoder
from dragoman.engines.ct2_encoder import HEAD
from dragoman.errors import BundleError
from dragoman.tasks.text_classification.task import TextClassification
from tests.tiny_classifier import write_tiny_classifier

WINDOW = 200


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    """Write a model that is wide enough for kernels to differ, with windows on both sides of what mixes freely."""
    folder = tmp_path_factory.mktemp("wide")
    return write_tiny_classifier(folder, toy_sentences, width=128, window_tokens=WINDOW)


@pytest.fixture(scope="module")
def sequences() -> list[list[int]]:
    """Return eighty sequences of 2 to 200 tokens, most of them short."""
    chooser = random.Random(3)
    lengths = [2, WINDOW, *(2 + int((WINDOW - 2) * chooser.random() ** 2) for _ in range(78))]
    return [[2, *(chooser.randrange(5, 60) for _ in range(length - 2)), 3] for length in lengths]


def open_engine(bundle_dir: Path, engine: str) -> SequenceClassifier:
    return TextClassification(open_bundle(bundle_dir), engine=engine, device="cpu").engine


@pytest.fixture(scope="module")
def reference(bundle_dir: Path, sequences: list[list[int]]) -> numpy.ndarray:
    """Return the logits that transformers has for each sequence alone."""
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(bundle_dir / "model").eval()
    with torch.inference_mode():
        return numpy.array([model(torch.tensor([sequence])).logits[0].tolist() for sequence in sequences])


def test_torch_gives_what_transformers_gives(
    bundle_dir: Path, sequences: list[list[int]], reference: numpy.ndarray
) -> None:
    engine = open_engine(bundle_dir, "torch")
    assert len(set(reference.argmax(axis=1))) > 1
    assert numpy.abs(numpy.array(engine.logits(sequences)) - reference).max() < 1e-5
    engine.close()


def test_int8_gives_nearly_that(bundle_dir: Path, sequences: list[list[int]], reference: numpy.ndarray) -> None:
    engine = open_engine(bundle_dir, "ctranslate2")
    found = numpy.array([engine.logits([sequence])[0] for sequence in sequences])
    assert numpy.abs(found - reference).max() < 0.5 * reference.std()
    assert (found.argmax(axis=1) == reference.argmax(axis=1)).mean() > 0.85
    engine.close()


@pytest.mark.parametrize(
    ("engine", "mixing"), [("ctranslate2", "auto"), ("ctranslate2", "by_width"), ("torch", "auto")]
)
def test_answers_are_to_the_bit_the_same_alone_and_in_batches(
    bundle_dir: Path, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch, engine: str, mixing: str
) -> None:
    monkeypatch.setenv("DRAGOMAN_MIXING", mixing)
    opened = open_engine(bundle_dir, engine)
    alone = [opened.logits([sequence])[0] for sequence in sequences]
    classes: dict[Any, list[int]] = {}
    for place, sequence in enumerate(sequences):
        classes.setdefault(opened.batch_class(len(sequence)), []).append(place)
    for places in classes.values():
        for size in (3, 7, 32):
            for start in range(0, len(places), size):
                batch = places[start : start + size]
                assert opened.logits([sequences[place] for place in batch]) == [alone[place] for place in batch]
    assert opened.is_exact
    opened.close()


def test_the_engine_says_how_sequences_mix_and_the_verdict_decides_it(
    bundle_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DRAGOMAN_MIXING", raising=False)
    monkeypatch.setenv("DRAGOMAN_CACHE", str(tmp_path))
    checked = open_engine(bundle_dir, "ctranslate2").describe()
    assert checked["mixing"] in ("free", "by_width")
    again = open_engine(bundle_dir, "ctranslate2").describe()
    if not str(checked["self_check"]).startswith("out of time"):
        assert again == {**checked, "self_check": f"cached: {checked['self_check']}"}
    monkeypatch.setenv("DRAGOMAN_MIXING", "free")
    free = open_engine(bundle_dir, "ctranslate2")
    assert len({free.batch_class(length) for length in range(2, 193)}) == 1
    monkeypatch.setenv("DRAGOMAN_MIXING", "by_width")
    by_width = open_engine(bundle_dir, "ctranslate2")
    assert [by_width.batch_class(length) for length in (2, 16, 17, 64, 65, 200)] == [16, 16, 32, 64, 128, 256]


class OnShapes:
    """An encoder whose answers show the shape of the batch, as those of kernels chosen by it would."""

    head: dict[str, Any]

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()
        self.head = {"classifier.weight": numpy.eye(4, 2, dtype="f"), "classifier.bias": numpy.zeros(4, dtype="f")}

    def pooled(self, ids: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        assert lengths is not None
        self.shapes.add(tuple(ids.shape))
        return torch.stack([ids.sum(dim=1), lengths * ids.shape[1]], dim=1)


def test_on_cuda_a_sequence_is_computed_in_one_shape_only(
    bundle_dir: Path, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shape is all that a CPU can show of it; tests/gpu compares the bits."""
    encoder = OnShapes()
    monkeypatch.setattr(torch_bert, "load_encoder", lambda *_, **__: encoder)
    engine: Any = open_engine(bundle_dir, "torch")
    engine.device = "cuda"
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_: tensor)
    for sequence in sequences:
        encoder.shapes.clear()
        same = [other for other in sequences if engine.batch_class(len(other)) == engine.batch_class(len(sequence))]
        place = same.index(sequence)
        found = engine.logits([sequence])
        assert engine.logits(same * 9)[place :: len(same)] == found * 9
        ((rows, width),) = encoder.shapes
        assert found == [(sum(sequence), len(sequence) * width, 0, 0)]
        assert width <= WINDOW
        assert rows * width <= torch_bert.ROW_TOKENS < (rows + 1) * width


def test_a_program_that_closes_nothing_ends_well(bundle_dir: Path) -> None:
    code = f"import dragoman; print(dragoman.load({str(bundle_dir)!r}, device='cpu')(['a', 'a b']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Result") == 2


def head_of(labels: int) -> dict[str, numpy.ndarray]:
    return {"classifier.weight": numpy.ones((labels, 128), "f"), "classifier.bias": numpy.zeros(labels, "f")}


def without_checks(bundle_dir: Path, folder: Path) -> Bundle:
    copy = folder / "bundle"
    shutil.copytree(bundle_dir, copy)
    return Bundle(copy, open_bundle(bundle_dir).manifest)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda head: head.unlink(), "cannot load .*ct2-int8"),
        (lambda head: head.write_bytes(b"{}"), "cannot load .*ct2-int8"),
        (lambda head: save_file({"other": numpy.zeros(1)}, head), "holds no linear layer classifier.weight"),
        # One row alone would be taken for the logit of every label.
        (lambda head: save_file(head_of(1), head), "is a layer of 1 labels, and the bundle has 4"),
        (lambda head: save_file(head_of(5), head), "is a layer of 5 labels, and the bundle has 4"),
        (lambda head: (head.parent / "model.bin").unlink(), "cannot load .*ct2-int8"),
    ],
)
def test_a_damaged_conversion_is_refused(bundle_dir: Path, tmp_path: Path, damage: Any, message: str) -> None:
    bundle = without_checks(bundle_dir, tmp_path)
    damage(bundle.engine_dir("ct2-int8") / HEAD)
    with pytest.raises(BundleError, match=message):
        TextClassification(bundle, engine="ctranslate2", device="cpu")


def test_weights_that_are_no_classifiers_are_refused(bundle_dir: Path, tmp_path: Path) -> None:
    bundle = without_checks(bundle_dir, tmp_path)
    tensors = load_file(bundle.model_dir / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "pooler" not in name}, _weights(bundle))
    with pytest.raises(BundleError, match=r"lack 'bert.pooler.dense.weight'; they are not those of a BERT"):
        load_encoder(bundle.model_dir, device="cpu", dtype=torch.float32)
    _weights(bundle).unlink()
    with pytest.raises(BundleError, match="cannot load the weights of"):
        load_encoder(bundle.model_dir, device="cpu", dtype=torch.float32)


def _weights(bundle: Bundle) -> Path:
    return bundle.model_dir / "model.safetensors"


@pytest.mark.parametrize("change", [{"hidden_act": "silu"}, {"position_embedding_type": "relative_key"}])
def test_variants_of_bert_that_torch_does_not_compute_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(BundleError, match="the torch engine computes gelu, gelu_new, relu, and absolute"):
        BertSizes.from_config({"num_hidden_layers": 2, "num_attention_heads": 4, **change})


def test_the_head_is_computed_row_by_row() -> None:
    chooser = numpy.random.default_rng(1)
    tensors = {"classifier.weight": chooser.normal(size=(9, 517)), "classifier.bias": chooser.normal(size=9)}
    head = Head(tensors, labels=9, origin=Path("head"))
    pooled = chooser.normal(size=(50, 517)).astype(numpy.float32)
    alone: Sequence[tuple[float, ...]] = [head.logits(pooled[place : place + 1])[0] for place in range(50)]
    assert head.logits(pooled) == alone
    expected = pooled.astype(float) @ tensors["classifier.weight"].T + tensors["classifier.bias"]
    assert numpy.abs(numpy.array(alone) - expected).max() < 1e-4
