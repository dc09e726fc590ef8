"""A classifier of images with random weights: its graph, its weights and a whole bundle, without timm or torch."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

from dragoman.bundle.manifest import Provenance, Score
from dragoman.bundle.store import write_bundle
from dragoman.tasks.image_classification.options import Limits, Options, Preprocessing

LABELS = ("cat", "dog", "ship", "truck")
SIDE = 16
# Small, so that tests reach them quickly.
SMALL_LIMITS = Limits(max_body_bytes=60_000, max_items=8, max_pixels=40_000)
CHANNELS = (12, 16)


def write_tiny_images(
    folder: Path,
    *,
    seed: int = 1,
    labels: tuple[str, ...] = LABELS,
    height: int = SIDE,
    width: int = SIDE,
    average_mirrored: bool = False,
    name: str = "tiny-images",
    limits: Limits = SMALL_LIMITS,
) -> Path:
    """Write the bundle into ``folder``/bundle; another seed gives another model of the same labels."""
    preprocessing = Preprocessing(height=height, width=width)
    weights = tiny_weights(preprocessing, seed=seed, labels=len(labels))
    (folder / "model").mkdir()
    save_file(weights, folder / "model" / "model.safetensors")
    config = {"model_type": "cnn", "architecture": "tiny", "num_classes": len(labels)}
    (folder / "model" / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "onnx").mkdir()
    graph = tiny_graph(weights, height=height, width=width)
    (folder / "onnx" / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    options = Options(labels=labels, preprocessing=preprocessing, average_mirrored=average_mirrored, temperature=1.5)
    write_bundle(
        folder / "bundle",
        name=name,
        task="image_classification",
        options=asdict(options),
        limits=asdict(limits),
        provenance=Provenance(config_digest="0" * 64, corpus_fingerprint="toy"),
        scores=[
            Score(
                metric="accuracy",
                value=90.0 + seed,
                signature="accuracy|version:1",
                test_set="toy",
                items=10,
                low=80.0,
                high=99.0,
                engine="onnxruntime",
            )
        ],
        model_dir=folder / "model",
        engines={"onnx": folder / "onnx"},
        config_yaml=f"name: {name}\n",
    )
    return folder / "bundle"


def tiny_weights(preprocessing: Preprocessing, *, seed: int = 1, labels: int = len(LABELS)) -> dict[str, numpy.ndarray]:
    """Return random weights, large enough for pictures of different colours to get different labels."""
    chooser = numpy.random.default_rng(seed)
    first, second = CHANNELS
    shapes = {"first": (first, 3, 3, 3), "second": (second, first, 3, 3), "head": (labels, second)}
    weights = {
        "mean": numpy.array(preprocessing.mean, dtype=numpy.float32).reshape(1, 3, 1, 1),
        "std": numpy.array(preprocessing.std, dtype=numpy.float32).reshape(1, 3, 1, 1),
    }
    for layer, shape in shapes.items():
        scale = (2 / numpy.prod(shape[1:])) ** 0.5
        weights[f"{layer}.weight"] = chooser.normal(0, scale, shape).astype(numpy.float32)
        # Biases that are all zero would hide their absence.
        weights[f"{layer}.bias"] = chooser.normal(0, 0.1, shape[:1]).astype(numpy.float32)
    return weights


def tiny_graph(weights: dict[str, numpy.ndarray], *, height: int = SIDE, width: int = SIDE) -> onnx.ModelProto:
    """Return the graph from ``pixels`` to ``logits``: two convolutions, the mean of all places, a linear layer."""
    labels = len(weights["head.bias"])
    constants = {**weights, "white": numpy.array(255, dtype=numpy.float32)}
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["channels_first"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["channels_first", "white"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
        helper.make_node("Conv", ["normalised", "first.weight", "first.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second.weight", "second.bias"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "head.weight", "head.bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", height, width, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def random_pictures(count: int, *, height: int = SIDE, width: int = SIDE, seed: int = 5) -> list[bytes]:
    """Return pixels of pictures, rows first, each of a colour of its own with a gradient and some noise."""
    chooser = numpy.random.default_rng(seed)
    down, right = numpy.meshgrid(numpy.linspace(-1, 1, height), numpy.linspace(-1, 1, width), indexing="ij")
    pictures = []
    for _ in range(count):
        colour, slope = chooser.uniform(0, 255, 3), chooser.normal(0, 60, (2, 3))
        plane = down[..., None] * slope[0] + right[..., None] * slope[1]
        noise = chooser.normal(0, 20, (height, width, 3))
        pictures.append((colour + plane + noise).clip(0, 255).astype(numpy.uint8).tobytes())
    return pictures


def encoded(pixels: bytes, *, height: int = SIDE, width: int = SIDE, file_format: str = "PNG") -> bytes:
    """Write pixels as an image file."""
    file = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels).save(file, file_format)
    return file.getvalue()
