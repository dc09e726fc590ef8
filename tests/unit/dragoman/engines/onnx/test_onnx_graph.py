"""The ONNX file of a bundle: what is taken out of it, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dragoman.engines.onnx import graph
from dragoman.engines.onnx.graph import check_interface, clean_graph, parse_graph, read_graph, write_graph
from dragoman.errors import BundleError
from dragoman.tasks.image_classification.options import Preprocessing
from tests.tiny_images import LABELS, SIDE, tiny_graph, tiny_weights

SIZES = {"height": SIDE, "width": SIDE, "labels": len(LABELS)}
PATH = Path("engines/onnx/model.onnx")


def make_graph() -> onnx.ModelProto:
    return tiny_graph(tiny_weights(Preprocessing(height=SIDE, width=SIDE)))


def opened(model: onnx.ModelProto) -> None:
    check_interface(parse_graph(model.SerializeToString(), PATH), PATH, **SIZES)


def as_exported(line: str) -> onnx.ModelProto:
    """Return the graph with notes everywhere, as PyTorch's exporter leaves them."""
    model = make_graph()
    model.producer_name, model.producer_version, model.doc_string = "pytorch", line, line
    model.graph.doc_string = line
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [line, 12, SIDE, SIDE]))
    for part in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input):
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=line)
    model.graph.node[0].attribute[0].doc_string = line
    return model


def test_graphs_from_two_machines_are_the_same_bytes_and_name_neither(tmp_path: Path) -> None:
    written = []
    for place in ("/home/ann/train.py", "/home/bob/train.py"):
        write_graph(as_exported(place), tmp_path / "model.onnx", **SIZES)
        written.append(read_graph(tmp_path / "model.onnx"))
    assert written[0] == written[1]
    assert b"home" not in written[0]
    assert b"pytorch" not in written[0]
    model = parse_graph(written[0], tmp_path / "model.onnx")
    assert [node.op_type for node in model.graph.node] == [node.op_type for node in make_graph().graph.node]


def test_a_graph_that_is_no_classifier_of_these_labels_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"logits: FLOAT\[batch, 4\], and .*logits: FLOAT\[batch, 5\] is expected"):
        write_graph(make_graph(), tmp_path / "model.onnx", height=SIDE, width=SIDE, labels=5)
    assert not list(tmp_path.iterdir())


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def outside_in_an_attribute(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def branching(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(numpy.array(True), "yes"))
    body = helper.make_graph(
        [helper.make_node("Identity", ["logits"], ["same"])],
        "body",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    model.graph.node.append(helper.make_node("If", ["yes"], ["either"], then_branch=body, else_branch=body))


def own_function(model: onnx.ModelProto) -> None:
    relu = helper.make_node("Relu", ["x"], ["y"])
    model.functions.append(helper.make_function("", "Mine", ["x"], ["y"], [relu], [helper.make_opsetid("", 20)]))


def out_of_order(model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.node.extend(reversed(nodes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (outside, "is in another file"),
        (outside_in_an_attribute, "hidden is in another file"),
        (branching, "the attribute (then|else)_branch is a graph of its own"),
        (own_function, "it holds functions"),
        (
            lambda model: model.opset_import.add(domain="com.microsoft", version=1),
            "20, com.microsoft 1, and ai.onnx 20",
        ),
        (
            lambda model: setattr(model.opset_import[0], "version", 19),
            "its operator sets are ai.onnx 19, and ai.onnx 20",
        ),
        (lambda model: model.ClearField("opset_import"), "its operator sets are none"),
        (lambda model: setattr(model.graph.node[5], "domain", "com.microsoft"), "Conv is an operator of com.microsoft"),
        (lambda model: setattr(model.graph.node[5], "op_type", "RandomNormalLike"), "gives something else each time"),
        (lambda model: setattr(model.graph.node[5], "op_type", "Mystery"), "it is no valid graph: .*Mystery"),
        (lambda model: setattr(model.graph.node[5], "doc_string", "/home"), "it holds doc_string"),
        (lambda model: model.metadata_props.add(key="a", value="b"), "it holds metadata_props"),
        (lambda model: model.training_info.add(), "it holds training_info"),
        (out_of_order, "it is no valid graph: .*topologically"),
        (lambda model: model.MergeFromString(b"\xc2\x3e\x03abc"), r"it has \d+ bytes, of which ONNX's fields are \d+"),
    ],
)
def test_what_is_no_plain_graph_is_refused(change: Callable[[onnx.ModelProto], None], message: str) -> None:
    model = make_graph()
    clean_graph(model)
    opened(model)
    change(model)
    with pytest.raises(BundleError, match=rf"{PATH} cannot be used: .*{message}(.|\n)*; export the model again"):
        opened(model)


def wider(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 99


def fixed(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def floats(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", 16, 1, 1]))


@pytest.mark.parametrize("change", [wider, fixed, floats, two_inputs, two_outputs])
def test_other_inputs_and_outputs_are_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    model = make_graph()
    change(model)
    expected = r"pixels: UINT8\[batch, 16, 16, 3\] -> logits: FLOAT\[batch, 4\] is expected"
    with pytest.raises(BundleError, match=expected):
        opened(model)


def test_a_file_that_is_missing_too_large_or_no_onnx_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(BundleError, match="cannot read it"):
        read_graph(path)
    with pytest.raises(BundleError, match="it is no ONNX file"):
        parse_graph(b"\xff" * 100, path)
    with pytest.raises(BundleError, match="its operator sets are none"):
        parse_graph(b"", path)
    path.write_bytes(bytes(1_001))
    monkeypatch.setattr(graph, "MAX_BYTES", 1_000)
    with pytest.raises(BundleError, match="it has 1001 bytes, and 1000 are accepted"):
        read_graph(path)
    with pytest.raises(BundleError, match="it has 1001 bytes, and 1000 are accepted"):
        parse_graph(bytes(1_001), path)
