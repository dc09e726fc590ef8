"""The bundle's graph in PyTorch: any device; on a CPU the reference for onnxruntime, on CUDA the fast one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import onnx
import torch
from onnx import helper, numpy_helper

from dragoman.bundle.store import Bundle
from dragoman.engines.onnx.classifier import pixel_array, waiting_limits
from dragoman.engines.onnx.graph import (
    LOGITS,
    PIXELS,
    check_interface,
    graph_path,
    missing_graph,
    parse_graph,
    read_graph,
)
from dragoman.engines.onnx.torch_operators import OPERATORS, lacking
from dragoman.engines.selection import torch_device
from dragoman.errors import BundleError, InferenceError
from dragoman.items.sizes import Capacity

# A kernel, and with it the order in which numbers are added up, is chosen by the shape of a batch. So that an answer
# never depends on its company, every image is computed in one shape only:
#
#   CPU    alone: this is the reference, not the way to serve
#   CUDA   in a batch of as many rows as BATCH_PIXELS fill, those that no image needs being black
#
# With one shape, whatever the graph computes of shapes alone is a constant as well. The graph runs once when it is
# opened, on black images, and each node goes one of two ways:
#
#   its inputs are all known, or it asks for a shape  -->  its outputs are known from now on
#   otherwise                                         -->  it is a step of the program that computes a batch
#
# The program is therefore free of integers, which would have to travel between the devices, and every operator has been
# tried before the first request. Pixels come as rows of colours, which is PyTorch's "channels last"; a transposition
# moves nothing, and the convolutions' weights lie alike.
BATCH_PIXELS = 1 << 20
FEWEST_ROWS, MOST_ROWS = 8, 256


@dataclass(frozen=True)
class Step:
    """One node that is computed for each batch, and the values that nobody needs afterwards."""

    operator: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    done_with: tuple[str, ...]


class TorchClassifier:
    """The nodes of the graph, one by one, in float32."""

    name = "torch"
    is_exact = True

    def __init__(self, bundle: Bundle, device: str, *, height: int, width: int, labels: int) -> None:
        """Load the weights and compute one batch.

        Raises ConfigError when the device is not there, BundleError for a graph that cannot be computed.
        """
        self.device = torch_device(device)
        self._height, self._width = height, width
        self._rows = 1
        if self.device == "cuda":
            self._rows = min(max(FEWEST_ROWS, BATCH_PIXELS // (height * width)), MOST_ROWS)
            # The kernels of a shape are then the same in each process, and give the same bits each time.
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        self.capacity = Capacity(
            # On CUDA a second batch is prepared while one is computed. A batch of its fixed shape takes about as long
            # full as empty; the figures follow from that and have not been measured under load.
            parallel_batches=2 if self.device == "cuda" else 1,
            batch_cost=max(4, self._rows),
            **waiting_limits(height, width),
        )
        path = graph_path(bundle)
        model = parse_graph(read_graph(path), path)
        check_interface(model, path, height=height, width=width, labels=labels)
        with torch.inference_mode():
            self._steps, self._constants, found = _compiled(model, path, self._pixels([]))
        if tuple(found.shape) != (self._rows, labels):
            raise BundleError(
                f"{path} gave logits of shape {list(found.shape)} for {self._rows} images, and the bundle has {labels} "
                "labels; export the model again"
            )

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return the reason why this engine cannot run the bundle, or None; names the operators that it lacks."""
        missing = missing_graph(bundle)
        if missing:
            return missing
        path = graph_path(bundle)
        nodes = parse_graph(read_graph(path), path).graph.node
        unknown = sorted({name for node in nodes if (name := lacking(node.op_type, _attributes(node)))})
        return f"the torch engine lacks the operators {'; '.join(unknown)} of {path}" if unknown else None

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``."""
        return {"engine": self.name, "device": self.device, "parallel": self.capacity.parallel_batches}

    def logits(self, images: Sequence[bytes]) -> list[tuple[float, ...]]:
        """See ``ImageClassifier.logits``."""
        found: list[tuple[float, ...]] = []
        try:
            with torch.inference_mode():
                for start in range(0, len(images), self._rows):
                    part = images[start : start + self._rows]
                    rows = self._run(self._pixels(part)).cpu()[: len(part)]
                    found += [tuple(row) for row in rows.tolist()]
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"PyTorch failed on a batch of {len(images)} images: {error}") from error
        return found

    def _pixels(self, images: Sequence[bytes]) -> torch.Tensor:
        """Return a batch of the one shape, with black images in the rows that are left over."""
        pixels = numpy.zeros((self._rows, self._height, self._width, 3), dtype=numpy.uint8)
        pixels[: len(images)] = pixel_array(images, self._height, self._width)
        return torch.from_numpy(pixels).to(self.device)

    def _run(self, pixels: torch.Tensor) -> torch.Tensor:
        values = {**self._constants, PIXELS: pixels}
        for step in self._steps:
            _compute(step, values)
            for name in step.done_with:
                del values[name]
        return values[LOGITS]

    def close(self) -> None:
        """Free the model."""
        del self._constants


def _compiled(
    model: onnx.ModelProto, path: Path, pixels: torch.Tensor
) -> tuple[list[Step], dict[str, torch.Tensor], torch.Tensor]:
    """Run a graph once: the steps that depend on the pixels, what is constant for this shape of batch, the logits."""
    known = {tensor.name: _placed(_tensor(tensor, path), pixels.device) for tensor in model.graph.initializer}
    # The last node that needs a value.
    last = {name: place for place, node in enumerate(model.graph.node) for name in node.input}
    values = {**known, PIXELS: pixels}
    steps: list[Step] = []
    for place, node in enumerate(model.graph.node):
        variable = [name for name in node.input if name and name not in known]
        is_constant = not variable or node.op_type == "Shape"
        done_with = tuple(name for name in dict.fromkeys(variable) if last[name] == place)
        step = Step(OPERATORS[node.op_type], tuple(node.input), tuple(node.output), _attributes(node), done_with)
        try:
            _compute(step, values)
        except (NotImplementedError, RuntimeError, ValueError, TypeError, IndexError) as error:
            raise BundleError(
                f"the torch engine cannot compute {node.op_type} ({node.name}) of {path}: {error}; use onnxruntime"
            ) from error
        if is_constant:
            known |= {name: _placed(values[name], pixels.device) for name in node.output}
            values |= {name: known[name] for name in node.output}
        else:
            steps.append(step)
    needed = {name for step in steps for name in step.inputs}
    return steps, {name: value for name, value in known.items() if name in needed}, values[LOGITS]


def _compute(step: Step, values: dict[str, torch.Tensor]) -> None:
    """Compute one node, and add its outputs to the values."""
    found = step.operator(*(values[name] if name else None for name in step.inputs), **step.attributes)
    found = found if isinstance(found, tuple) else (found,)
    if len(found) < len(step.outputs):
        raise NotImplementedError(f"{len(step.outputs)} outputs")
    values.update(zip(step.outputs, found, strict=False))


def _tensor(tensor: onnx.TensorProto, path: Path) -> torch.Tensor:
    try:
        return torch.from_numpy(numpy.array(numpy_helper.to_array(tensor)))
    except (TypeError, ValueError) as error:
        raise BundleError(f"{path} holds a damaged tensor {tensor.name}: {error}; export the model again") from error


def _placed(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move what is no integer to the device, filters of convolutions with their colours last."""
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
