"""ONNX's operators in PyTorch: each gives what onnxruntime gives, whatever its attributes."""

from typing import Any

import numpy
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from dragoman.engines.onnx.graph import OPSET
from dragoman.engines.onnx.torch_operators import OPERATORS

chooser = numpy.random.default_rng(4)


def floats(*shape: int) -> numpy.ndarray:
    return chooser.normal(size=shape).astype(numpy.float32)


def ints(*values: int) -> numpy.ndarray:
    return numpy.array(values, dtype=numpy.int64)


MAPS, FLAT = floats(2, 4, 7, 9), floats(3, 5)
POSITIVE = numpy.abs(FLAT) + numpy.float32(0.1)
NONE = None
# For each operator its inputs and attributes, in all the forms that an export may have.
CASES: dict[str, list[tuple[list[Any], dict[str, Any]]]] = {
    "Add": [([FLAT, floats(5)], {}), ([ints(1, 2), ints(3)], {})],
    "AveragePool": [
        ([MAPS], {"kernel_shape": [2, 2]}),
        ([MAPS], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ([MAPS], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}),
        ([MAPS], {"kernel_shape": [3, 3], "pads": [0, 1, 1, 2], "count_include_pad": 1}),
    ],
    "BatchNormalization": [([MAPS, floats(4), floats(4), floats(4), numpy.abs(floats(4))], {"epsilon": 1e-3})],
    "Cast": [([FLAT], {"to": TensorProto.INT64}), ([ints(1, -2)], {"to": TensorProto.FLOAT})],
    "Clip": [
        ([FLAT, numpy.float32(0)], {}),
        ([FLAT, NONE, numpy.float32(0.5)], {}),
        ([FLAT, numpy.float32(-0.5), numpy.float32(0.5)], {}),
        ([FLAT], {}),
    ],
    "Concat": [([FLAT, floats(3, 2)], {"axis": -1})],
    "Conv": [
        ([MAPS, floats(6, 4, 3, 3)], {}),
        ([MAPS, floats(6, 4, 3, 3), floats(6)], {"strides": [2, 1], "pads": [1, 2, 1, 2], "dilations": [2, 1]}),
        ([MAPS, floats(4, 1, 3, 3), floats(4)], {"group": 4, "pads": [0, 1, 1, 2], "kernel_shape": [3, 3]}),
    ],
    "Div": [([FLAT, POSITIVE], {}), ([ints(7, -7, 8), ints(2)], {})],
    "Erf": [([FLAT], {})],
    "Exp": [([FLAT], {})],
    "Expand": [([FLAT, ints(2, 1, 5)], {}), ([FLAT, ints(1)], {})],
    "Flatten": [([MAPS], {}), ([MAPS], {"axis": 2}), ([MAPS], {"axis": 0})],
    "Gather": [
        ([MAPS, numpy.array(-1)], {"axis": 2}),
        ([MAPS, ints(3, 0, -1)], {"axis": 1}),
        ([MAPS, numpy.array([[0, 2], [1, 1]])], {"axis": -1}),
    ],
    "Gelu": [([FLAT], {}), ([FLAT], {"approximate": "tanh"})],
    "Gemm": [
        ([FLAT, floats(4, 5), floats(4)], {"transB": 1}),
        ([floats(5, 3), floats(5, 4), floats(3, 1)], {"transA": 1, "alpha": 0.5, "beta": 2.0}),
        ([FLAT, floats(5, 2)], {"alpha": 3.0}),
    ],
    "GlobalAveragePool": [([MAPS], {})],
    "GlobalMaxPool": [([MAPS], {})],
    "HardSigmoid": [([FLAT], {}), ([FLAT], {"alpha": 1 / 6, "beta": 0.5})],
    "HardSwish": [([4 * FLAT], {})],
    "Identity": [([FLAT], {})],
    "LayerNormalization": [
        ([FLAT, floats(5), floats(5)], {"epsilon": 1e-6}),
        ([MAPS, floats(7, 9)], {"axis": 2}),
    ],
    "MatMul": [([floats(2, 3, 5), floats(5, 4)], {}), ([floats(2, 1, 3, 5), floats(4, 5, 3)], {})],
    "Max": [([FLAT, floats(5), numpy.float32(0.2)], {})],
    "MaxPool": [
        ([MAPS], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ([MAPS], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ([MAPS - 9], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "dilations": [2, 2]}),
    ],
    "Min": [([FLAT, floats(5)], {})],
    "Mish": [([FLAT], {})],
    "Mul": [([FLAT, floats(3, 1)], {})],
    "Neg": [([FLAT], {})],
    "Pow": [([POSITIVE, numpy.float32(2.5)], {})],
    "Range": [([numpy.array(1), numpy.array(9), numpy.array(3)], {})],
    "Reciprocal": [([POSITIVE], {})],
    "ReduceMax": [([MAPS, ints(2, 3)], {"keepdims": 0}), ([MAPS], {})],
    "ReduceMean": [
        ([MAPS, ints(-1, -2)], {}),
        ([MAPS], {"keepdims": 0}),
        ([MAPS], {"noop_with_empty_axes": 1}),
    ],
    "ReduceSum": [([MAPS, ints(1)], {"keepdims": 0})],
    "Relu": [([FLAT], {})],
    "Reshape": [
        ([MAPS, ints(0, -1, 3)], {}),
        ([MAPS, ints(2, 4, 63)], {"allowzero": 1}),
    ],
    "Shape": [([MAPS], {}), ([MAPS], {"start": 1, "end": -1})],
    "Sigmoid": [([FLAT], {})],
    "Slice": [
        ([MAPS, ints(1), ints(2**63 - 1), ints(2), ints(2)], {}),
        ([MAPS, ints(0, -3), ints(1, -1), ints(0, 3)], {}),
        ([MAPS, ints(0, 1), ints(2, 3)], {}),
    ],
    "Softmax": [([MAPS], {}), ([MAPS], {"axis": 1})],
    "Split": [
        ([MAPS, ints(1, 3)], {"axis": 1}),
        ([MAPS], {"axis": 2, "num_outputs": 3}),
    ],
    "Sqrt": [([POSITIVE], {})],
    "Squeeze": [([floats(1, 3, 1), ints(-1)], {}), ([floats(1, 3, 1)], {})],
    "Sub": [([FLAT, floats(5)], {})],
    "Tanh": [([FLAT], {})],
    "Transpose": [([MAPS], {"perm": [0, 2, 3, 1]})],
    "Unsqueeze": [([FLAT, ints(-1, 0)], {})],
}


def test_every_operator_of_the_table_is_compared() -> None:
    assert set(CASES) == set(OPERATORS)


@pytest.mark.parametrize("op_type", CASES)
def test_an_operator_gives_what_onnxruntime_gives(op_type: str) -> None:
    for inputs, attributes in CASES[op_type]:
        found = OPERATORS[op_type](*(None if each is None else torch.tensor(each) for each in inputs), **attributes)
        expected = by_onnxruntime(op_type, inputs, attributes, outputs=len(found) if isinstance(found, tuple) else 1)
        for ours, theirs in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
            assert ours.shape == theirs.shape
            assert str(ours.dtype).removeprefix("torch.") == str(theirs.dtype)
            numpy.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-5)


def by_onnxruntime(op_type: str, inputs: list[Any], attributes: dict[str, Any], *, outputs: int) -> list[numpy.ndarray]:
    given = {f"input{place}": numpy.asarray(each) for place, each in enumerate(inputs) if each is not None}
    names = [f"input{place}" if each is not None else "" for place, each in enumerate(inputs)]
    found = [f"output{place}" for place in range(outputs)]
    node = helper.make_node(op_type, names, found, **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
    ]
    untyped = [helper.ValueInfoProto(name=name) for name in found]
    graph = helper.make_graph([node], "one", infos, untyped)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results: list[numpy.ndarray] = session.run(None, given)
    return results


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "message"),
    [
        ("Conv", [MAPS, floats(6, 4, 3, 3)], {"auto_pad": "SAME_UPPER"}, "auto_pad SAME_UPPER"),
        ("AveragePool", [MAPS], {"kernel_shape": [3, 3], "pads": [0, 1, 1, 1]}, "unequal pads"),
        ("BatchNormalization", [MAPS, *[floats(4)] * 4], {"training_mode": 1}, "training_mode"),
        ("Cast", [FLAT], {"to": TensorProto.STRING}, "to STRING"),
        ("Slice", [FLAT, ints(5), ints(0), ints(1), ints(-1)], {}, "steps below 1"),
    ],
)
def test_forms_that_are_not_computed_are_named(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NotImplementedError, match=message):
        OPERATORS[op_type](*map(torch.tensor, inputs), **attributes)
