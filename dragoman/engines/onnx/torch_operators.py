"""ONNX's operators in PyTorch: a table from a name to a function.

A function takes the inputs of a node in their order, None for one that is left out, and its attributes by name, so its
keyword arguments are the attributes that are understood. Shapes and other integers are tensors on the CPU.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import reduce
from itertools import accumulate
from types import FunctionType
from typing import Any

import numpy
import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

Operator = Callable[..., Any]
Sizes = list[int] | tuple[int, ...]
NOT_SET = "NOTSET"
TYPES: Mapping[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.BOOL: torch.bool,
}


def lacking(op_type: str, attributes: Mapping[str, Any]) -> str | None:
    """Name the operator, or its attribute, that the table lacks; None where it has both."""
    operator = OPERATORS.get(op_type)
    if operator is None:
        return op_type
    # PyTorch's own built-in functions have no signature, and stand for operators without attributes.
    parameters = inspect.signature(operator).parameters.values() if isinstance(operator, FunctionType) else ()
    known = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    unknown = sorted(attributes.keys() - known)
    return f"{op_type} with {', '.join(unknown)}" if unknown else None


def _padded(data: Tensor, pads: Sizes, auto_pad: str, fill: float) -> tuple[Tensor, list[int]]:
    """Return data and the padding that is left for PyTorch, which only knows one that is equal on both sides."""
    if auto_pad not in (NOT_SET, "VALID"):
        raise NotImplementedError(f"auto_pad {auto_pad}")
    sides = data.dim() - 2
    begins, ends = (list(pads[:sides]), list(pads[sides:])) if pads else ([0] * sides, [0] * sides)
    if begins == ends:
        return data, begins
    # PyTorch lists the last dimension first.
    both = [size for pair in zip(reversed(begins), reversed(ends), strict=True) for size in pair]
    return functional.pad(data, both, value=fill), [0] * sides


def _conv(
    data: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Sizes = (1, 1),
    pads: Sizes = (),
    dilations: Sizes = (1, 1),
    group: int = 1,
    kernel_shape: Sizes = (),
    auto_pad: str = NOT_SET,
) -> Tensor:
    data, padding = _padded(data, pads, auto_pad, 0.0)
    return functional.conv2d(data, weight, bias, strides, padding, dilations, group)


def _max_pool(
    data: Tensor,
    *,
    kernel_shape: Sizes,
    strides: Sizes = (1, 1),
    pads: Sizes = (),
    dilations: Sizes = (1, 1),
    ceil_mode: int = 0,
    storage_order: int = 0,
    auto_pad: str = NOT_SET,
) -> Tensor:
    data, padding = _padded(data, pads, auto_pad, float("-inf"))
    return functional.max_pool2d(data, kernel_shape, strides, padding, dilations, bool(ceil_mode))


def _average_pool(
    data: Tensor,
    *,
    kernel_shape: Sizes,
    strides: Sizes = (1, 1),
    pads: Sizes = (),
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    auto_pad: str = NOT_SET,
) -> Tensor:
    padded, padding = _padded(data, pads, auto_pad, 0.0)
    if padded is not data and not count_include_pad:
        raise NotImplementedError("unequal pads that do not count")
    return functional.avg_pool2d(padded, kernel_shape, strides, padding, bool(ceil_mode), bool(count_include_pad))


def _batch_normalization(
    data: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Tensor:
    if training_mode:
        raise NotImplementedError("training_mode")
    return functional.batch_norm(data, mean, variance, scale, bias, eps=epsilon)


def _layer_normalization(
    data: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    return functional.layer_norm(data, data.shape[axis:], scale, bias, epsilon)


def _gemm(
    left: Tensor,
    right: Tensor,
    bias: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - ONNX's name
    transB: int = 0,  # noqa: N803
) -> Tensor:
    left, right = left.t() if transA else left, right.t() if transB else right
    if bias is None:
        return alpha * (left @ right)
    return torch.addmm(bias, left, right, alpha=alpha, beta=beta)


def _reduced(function: Callable[..., Tensor]) -> Operator:
    """Return an operator that reduces the dimensions ``axes``, all where none are given."""

    def reduced(
        data: Tensor, axes: Tensor | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        chosen = [] if axes is None else axes.tolist()
        if not chosen and noop_with_empty_axes:
            return data
        return function(data, dim=chosen or list(range(data.dim())), keepdim=bool(keepdims))

    return reduced


def _div(left: Tensor, right: Tensor) -> Tensor:
    # Of integers it is the whole part, rounded towards nought.
    return torch.div(left, right, rounding_mode=None if left.is_floating_point() else "trunc")


def _gelu(data: Tensor, *, approximate: str = "none") -> Tensor:
    return functional.gelu(data, approximate=approximate)


def _hard_sigmoid(data: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return (data * alpha + beta).clamp(0, 1)


def _softmax(data: Tensor, *, axis: int = -1) -> Tensor:
    return data.softmax(axis)


def _clip(data: Tensor, least: Tensor | None = None, most: Tensor | None = None) -> Tensor:
    return data if least is None and most is None else data.clamp(least, most)


def _cast(data: Tensor, *, to: int, saturate: int = 1) -> Tensor:
    if to not in TYPES:
        raise NotImplementedError(f"to {TensorProto.DataType.Name(to)}")
    return data.to(TYPES[to])


def _shape(data: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(list(data.shape[start:end]), dtype=torch.int64)


def _reshape(data: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    sizes = shape.tolist()
    if not allowzero:
        sizes = [size or data.shape[place] for place, size in enumerate(sizes)]
    return data.reshape(sizes)


def _flatten(data: Tensor, *, axis: int = 1) -> Tensor:
    return data.reshape(data.shape[:axis].numel(), -1)


def _transpose(data: Tensor, *, perm: Sizes) -> Tensor:
    return data.permute(*perm)


def _squeeze(data: Tensor, axes: Tensor | None = None) -> Tensor:
    return data.squeeze() if axes is None else data.squeeze(tuple(axes.tolist()))


def _unsqueeze(data: Tensor, axes: Tensor) -> Tensor:
    dimensions = data.dim() + axes.numel()
    for axis in sorted(axis % dimensions for axis in axes.tolist()):
        data = data.unsqueeze(axis)
    return data


def _expand(data: Tensor, shape: Tensor) -> Tensor:
    return data.expand(numpy.broadcast_shapes(data.shape, shape.tolist()))


def _concat(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(parts, axis)


def _slice(
    data: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    chosen = range(starts.numel()) if axes is None else axes.tolist()
    strides = [1] * starts.numel() if steps is None else steps.tolist()
    if min(strides, default=1) < 1:
        raise NotImplementedError("steps below 1")
    places = [slice(None)] * data.dim()
    for axis, start, end, step in zip(chosen, starts.tolist(), ends.tolist(), strides, strict=True):
        # An end beyond the last is the largest integer, which PyTorch warns of.
        places[axis] = slice(*slice(start, end, step).indices(data.shape[axis]))
    return data[tuple(places)]


def _split(data: Tensor, split: Tensor | None = None, *, axis: int = 0, num_outputs: int = 0) -> tuple[Tensor, ...]:
    size = data.shape[axis]
    part = -(-size // num_outputs) if num_outputs else size
    sizes = [min(part, size - start) for start in range(0, size, part)] if split is None else split.tolist()
    return tuple(data.narrow(axis, end - length, length) for end, length in zip(accumulate(sizes), sizes, strict=True))


def _gather(data: Tensor, places: Tensor, *, axis: int = 0) -> Tensor:
    if places.dim() == 0:
        return data.select(axis, int(places))
    size = data.shape[axis]
    wanted = torch.where(places < 0, places + size, places).to(data.device)
    found = data.index_select(axis, wanted.reshape(-1))
    before = data.shape[: axis % data.dim()]
    return found.reshape(*before, *places.shape, *data.shape[len(before) + 1 :])


def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def _maximum(*parts: Tensor) -> Tensor:
    return reduce(torch.maximum, parts)


def _minimum(*parts: Tensor) -> Tensor:
    return reduce(torch.minimum, parts)


def _global_average_pool(data: Tensor) -> Tensor:
    return data.mean((2, 3), keepdim=True)


def _global_max_pool(data: Tensor) -> Tensor:
    return data.amax((2, 3), keepdim=True)


# Of operators without attributes, PyTorch's functions are the operators; those with optional arguments of their own
# would take what ONNX means otherwise, so they are wrapped above.
OPERATORS: Mapping[str, Operator] = {
    "Add": torch.add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _div,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": functional.hardswish,
    "Identity": torch.clone,
    "LayerNormalization": _layer_normalization,
    "MatMul": torch.matmul,
    "Max": _maximum,
    "MaxPool": _max_pool,
    "Min": _minimum,
    "Mish": functional.mish,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Pow": torch.pow,
    "Range": _range,
    "Reciprocal": torch.reciprocal,
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": torch.relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": torch.sigmoid,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": torch.sqrt,
    "Squeeze": _squeeze,
    "Sub": torch.sub,
    "Tanh": torch.tanh,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
