"""The engines of classifiers of images: both compute one graph, to the bit the same alone and in company."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
from onnx import helper

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.onnx import torch_graph
from dragoman.engines.onnx.session import OnnxClassifier
from dragoman.engines.onnx.torch_graph import TorchClassifier
from dragoman.engines.selection import open_engine
from dragoman.errors import BundleError, ConfigError, InferenceError
from dragoman.tasks.image_classification.options import Preprocessing
from dragoman.tasks.image_classification.task import ImageClassification
from tests.tiny_images import LABELS, SIDE, encoded, random_pictures, tiny_graph, tiny_weights

SIZES = {"height": SIDE, "width": SIDE, "labels": len(LABELS)}
ENGINES = (OnnxClassifier, TorchClassifier)


def make_graph() -> onnx.ModelProto:
    return tiny_graph(tiny_weights(Preprocessing(height=SIDE, width=SIDE)))


def bundle_of(model: onnx.ModelProto, tiny_images: Path, folder: Path) -> Bundle:
    """Return a bundle with another graph, whose digests nobody has checked."""
    (folder / "engines" / "onnx").mkdir(parents=True)
    (folder / "engines" / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    return Bundle(folder, open_bundle(tiny_images).manifest)


def computed(pictures: list[bytes]) -> numpy.ndarray:
    """Return the logits that numpy has, in double precision."""
    weights = {
        name: array.astype(float) for name, array in tiny_weights(Preprocessing(height=SIDE, width=SIDE)).items()
    }
    pixels = numpy.stack([numpy.frombuffer(picture, numpy.uint8).reshape(SIDE, SIDE, 3) for picture in pictures])
    maps = (pixels.transpose(0, 3, 1, 2) / 255 - weights["mean"]) / weights["std"]
    for layer, stride in (("first", 1), ("second", 2)):
        framed = numpy.pad(maps, [(0, 0), (0, 0), (1, 1), (1, 1)])
        places = numpy.lib.stride_tricks.sliding_window_view(framed, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
        maps = numpy.einsum("bcyxij,ocij->boyx", places, weights[f"{layer}.weight"])
        maps = numpy.maximum(maps + weights[f"{layer}.bias"].reshape(1, -1, 1, 1), 0)
    logits: numpy.ndarray = maps.mean(axis=(2, 3)) @ weights["head.weight"].T + weights["head.bias"]
    return logits


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_compute_the_graph(tiny_images: Path, engine: Any) -> None:
    pictures = random_pictures(40)
    opened = engine(open_bundle(tiny_images), "cpu", **SIZES)
    assert numpy.abs(numpy.array(opened.logits(pictures)) - computed(pictures)).max() < 1e-5
    assert opened.logits([]) == []
    opened.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_are_to_the_bit_the_same_alone_and_in_batches_and_in_many_threads(
    tiny_images: Path, engine: Any
) -> None:
    pictures = random_pictures(33)
    opened = engine(open_bundle(tiny_images), "cpu", **SIZES)
    alone = [opened.logits([picture])[0] for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        batches = [range(start, min(start + size, 33)) for size in (2, 7, 33) for start in range(0, 33, size)]
        found = pool.map(lambda places: opened.logits([pictures[place] for place in places]), batches)
        for places, logits in zip(batches, found, strict=True):
            assert logits == [alone[place] for place in places]
    assert opened.is_exact
    opened.close()


def test_a_task_takes_onnxruntime_on_a_cpu_and_torch_by_name(tiny_images: Path) -> None:
    bundle = open_bundle(tiny_images)
    for engine, expected in (("auto", "onnxruntime"), ("onnxruntime", "onnxruntime"), ("torch", "torch")):
        opened = open_engine(ImageClassification.engines, bundle, engine=engine, device="cpu", **SIZES)
        assert opened.describe() == {"engine": expected, "device": "cpu", "parallel": opened.capacity.parallel_batches}
    with pytest.raises(ConfigError, match="device is cuda, and onnxruntime computes on a CPU here; use engine=torch"):
        OnnxClassifier(bundle, "cuda", **SIZES)


@pytest.mark.parametrize(
    ("side", "batch", "waiting"), [(32, 16, 4_096), (128, 8, 2_730), (224, 4, 891), (1_024, 4, 42)]
)
def test_large_pictures_wait_in_smaller_numbers_and_go_in_smaller_batches(
    tiny_images: Path, tmp_path: Path, side: int, batch: int, waiting: int
) -> None:
    model = tiny_graph(tiny_weights(Preprocessing(height=side, width=side)), height=side, width=side)
    bundle = bundle_of(model, tiny_images, tmp_path)
    capacity = OnnxClassifier(bundle, "cpu", height=side, width=side, labels=len(LABELS)).capacity
    assert (capacity.batch_cost, capacity.max_waiting_items, capacity.max_waiting_cost) == (batch, waiting, waiting)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bundle_without_a_graph_is_named_and_a_damaged_one_refused(
    tiny_images: Path, tmp_path: Path, engine: Any
) -> None:
    whole = open_bundle(tiny_images)
    assert engine.cannot_open(whole) is None
    bare = Bundle(whole.path, dataclasses.replace(whole.manifest, engines=()))
    assert engine.cannot_open(bare) == "the bundle has no onnx conversion"
    bundle = bundle_of(make_graph(), tiny_images, tmp_path)
    with pytest.raises(BundleError, match=r"logits: FLOAT\[batch, 7\] is expected"):
        engine(bundle, "cpu", height=SIDE, width=SIDE, labels=7)
    (tmp_path / "engines" / "onnx" / "model.onnx").unlink()
    with pytest.raises(BundleError, match="cannot read it"):
        engine(bundle, "cpu", **SIZES)


def one_logit_too_few(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name.startswith("head."):
            tensor.dims[0] -= 1
            tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) * tensor.dims[0] // len(LABELS)]


def cut_off(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[3]
    tensor.raw_data = tensor.raw_data[:-8]


def misfitting(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute[0].CopyFrom(helper.make_attribute("perm", [0, 1, 2, 3]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("damage", [one_logit_too_few, cut_off, misfitting])
def test_a_graph_that_is_valid_and_cannot_be_computed_is_refused(
    tiny_images: Path, tmp_path: Path, engine: Any, damage: Callable[[onnx.ModelProto], None]
) -> None:
    model = make_graph()
    damage(model)
    with pytest.raises(BundleError):
        engine(bundle_of(model, tiny_images, tmp_path), "cpu", **SIZES)


def test_torch_names_the_operators_and_attributes_that_it_lacks(tiny_images: Path, tmp_path: Path) -> None:
    model = make_graph()
    model.graph.node[6].op_type = "Selu"
    pool = helper.make_node("LpPool", ["d"], ["e"], kernel_shape=[2, 2])
    shrink = helper.make_node("ReduceMean", ["d"], ["f"], keepdims=0)
    model.graph.node.extend([pool, shrink, helper.make_node("Cast", ["d"], ["g"], to=1, saturate=0)])
    bundle = bundle_of(model, tiny_images, tmp_path)
    assert TorchClassifier.cannot_open(bundle) == (
        f"the torch engine lacks the operators LpPool; Selu of {tmp_path}/engines/onnx/model.onnx"
    )
    assert OnnxClassifier.cannot_open(bundle) is None
    with pytest.raises(ConfigError, match="lacks the operators LpPool; Selu"):
        open_engine(ImageClassification.engines, bundle, engine="torch", device="cpu", **SIZES)


def test_torch_refuses_values_of_attributes_that_it_cannot_compute(tiny_images: Path, tmp_path: Path) -> None:
    model = make_graph()
    model.graph.node[5].ClearField("attribute")
    model.graph.node[5].attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))
    bundle = bundle_of(model, tiny_images, tmp_path)
    OnnxClassifier(bundle, "cpu", **SIZES)
    with pytest.raises(BundleError, match=r"cannot compute Conv \(.*: auto_pad SAME_UPPER; use onnxruntime"):
        TorchClassifier(bundle, "cpu", **SIZES)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_fails_while_computing_is_an_error_of_inference(tiny_images: Path, engine: Any) -> None:
    opened = engine(open_bundle(tiny_images), "cpu", **SIZES)
    with pytest.raises(InferenceError, match="failed on"):
        opened.logits([*random_pictures(1), b"too short"])
    assert opened.logits(random_pictures(1)) == opened.logits(random_pictures(1))
    opened.close()


def test_on_cuda_an_image_is_computed_in_one_shape_only(tiny_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shape is all that a CPU can show of it; tests/gpu compares the bits."""
    monkeypatch.setattr(torch_graph, "torch_device", lambda device: device)
    monkeypatch.setattr(torch.Tensor, "to", _stays_on_the_cpu(torch.Tensor.to))
    engine = TorchClassifier(open_bundle(tiny_images), "cuda", **SIZES)
    shapes = []
    run = engine._run
    monkeypatch.setattr(engine, "_run", lambda pixels: shapes.append(tuple(pixels.shape)) or run(pixels))
    pictures = random_pictures(300)
    together = engine.logits(pictures)
    assert numpy.abs(numpy.array(together) - computed(pictures)).max() < 1e-5
    assert engine.logits(pictures[7:8])[0] == pytest.approx(together[7])
    assert set(shapes) == {(256, SIDE, SIDE, 3)}
    assert len(shapes) == 3
    assert engine.capacity.batch_cost == 256


def _stays_on_the_cpu(move: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda tensor, to: tensor if to == "cuda" else move(tensor, to)


def test_a_server_on_a_cpu_prints_nothing_and_imports_neither_torch_nor_timm(tiny_images: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(encoded(random_pictures(1)[0]))
    code = (
        f"import sys, dragoman; print(dragoman.load({str(tiny_images)!r}, device='cpu')"
        f"([open({str(image)!r}, 'rb').read()]));"
        "assert not {'torch', 'torchvision', 'timm', 'onnxscript'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Result") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_onnxruntime_computes_in_the_threads_of_its_callers(tiny_images: Path) -> None:
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    engine = OnnxClassifier(open_bundle(tiny_images), "cpu", **SIZES)
    engine.logits(random_pictures(3))
    assert len(list(tasks.iterdir())) == before
    engine.close()
