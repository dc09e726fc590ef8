"""The ONNX file of a bundle: one plain graph from pixels to logits, checked before an engine sees it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto

from dragoman.bundle.store import Bundle
from dragoman.errors import BundleError

# A graph is data, but onnxruntime does more than compute it: it opens files that tensors name beside the graph
# (CVE-2022-25882, CVE-2024-27318), takes operators from libraries, and functions and branches hide operators from
# whoever reads the nodes. None of it is needed here, so a file holds
#
#   model ── one operator set, ONNX's own, in the version that is tested
#     └── graph: pixels -> nodes without graphs of their own -> logits
#           └── tensors, whole within the file
#
# and nothing else: no field that this version of ONNX does not know, and no notes. PyTorch's exporter notes for each
# node the lines of code that it comes from, with the folders of the machine; without them the same weights give the
# same bytes. The bytes that were checked are those that an engine loads: nobody opens the file a second time.

CONVERSION, GRAPH = "onnx", "model.onnx"
# The exporter writes it, and both engines are tested with it.
OPSET = 20
# No graph of images comes near it, and it stays clear of protobuf's own limit of 2 GiB.
MAX_BYTES = 1 << 30
PIXELS, LOGITS = "pixels", "logits"
# The answer to equal pixels would be another one each time.
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
NOTES = ("doc_string", "metadata_props")


def clean_graph(model: onnx.ModelProto) -> None:
    """Remove what is not computed: notes, which hold paths of a machine, names of programs, and shapes in between."""
    for message in _messages(model):
        for field in NOTES:
            if field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(field)
    for field in ("producer_name", "producer_version", "domain", "model_version"):
        model.ClearField(field)
    model.graph.ClearField("value_info")
    model.graph.name = "classifier"


def write_graph(model: onnx.ModelProto, path: Path, *, height: int, width: int, labels: int) -> None:
    """Clean a graph, check it and write it; raises BundleError for one that no engine would open."""
    clean_graph(model)
    data = model.SerializeToString(deterministic=True)
    check_interface(parse_graph(data, path), path, height=height, width=width, labels=labels)
    path.write_bytes(data)


def missing_graph(bundle: Bundle) -> str | None:
    """Return the reason why no engine of this package can run the bundle, or None."""
    return None if CONVERSION in bundle.manifest.engines else f"the bundle has no {CONVERSION} conversion"


def graph_path(bundle: Bundle) -> Path:
    """Return the file of a bundle's graph."""
    return bundle.engine_dir(CONVERSION) / GRAPH


def read_graph(path: Path) -> bytes:
    """Read the file, within the limit of its size; raises BundleError."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _refused(path, f"it has {size} bytes, and {MAX_BYTES} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise _refused(path, f"cannot read it: {error}") from error


def parse_graph(data: bytes, path: Path) -> onnx.ModelProto:
    """Parse a file's bytes, and check that they hold a plain graph and nothing else; raises BundleError."""
    if len(data) > MAX_BYTES:
        raise _refused(path, f"it has {len(data)} bytes, and {MAX_BYTES} are accepted")
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise _refused(path, f"it is no ONNX file: {error}") from error
    problem = next(_problems(model, len(data)), None)
    if problem:
        raise _refused(path, problem)
    try:
        # Nodes in their order, every value computed once and before its use, operators and attributes that there are.
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise _refused(path, f"it is no valid graph: {error}") from error
    return model


def check_interface(model: onnx.ModelProto, path: Path, *, height: int, width: int, labels: int) -> None:
    """Check that a graph makes logits of so many labels from pixels of this size; raises BundleError."""
    expected = f"{PIXELS}: UINT8[batch, {height}, {width}, 3] -> {LOGITS}: FLOAT[batch, {labels}]"
    inputs, outputs = (", ".join(map(_described, values)) for values in (model.graph.input, model.graph.output))
    if f"{inputs} -> {outputs}" != expected:
        raise _refused(path, f"it computes {inputs} -> {outputs}, and {expected} is expected")


def _problems(model: onnx.ModelProto, size: int) -> Iterator[str]:
    """Yield what a plain graph does not have; each is looked for only when all before it are absent."""
    versions = [f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import]
    if [(entry.domain, entry.version) for entry in model.opset_import] != [("", OPSET)]:
        yield f"its operator sets are {', '.join(versions) or 'none'}, and ai.onnx {OPSET} alone is accepted"
    for field in ("functions", "training_info", "configuration"):
        if field in model.DESCRIPTOR.fields_by_name and getattr(model, field):
            yield f"it holds {field}, and nodes of the graph alone are accepted"
    for node in model.graph.node:
        if node.domain or node.overload:
            yield f"{node.op_type} is an operator of {node.domain or node.overload}, and ONNX's own alone are accepted"
        if node.op_type in RANDOM:
            yield f"{node.op_type} gives something else each time"
    for message in _messages(model):
        if isinstance(message, onnx.AttributeProto) and (message.HasField("g") or message.graphs):
            yield f"the attribute {message.name} is a graph of its own, and nodes of one graph alone are accepted"
        if isinstance(message, TensorProto) and (message.data_location or message.external_data):
            yield f"the tensor {message.name} is in another file, and tensors within the file alone are accepted"
        for note in NOTES:
            if note in message.DESCRIPTOR.fields_by_name and getattr(message, note):
                yield f"it holds {note}, which may name paths of a machine"
    # What this version of ONNX does not know, another, such as the one within onnxruntime, may act on.
    model.DiscardUnknownFields()
    if model.ByteSize() != size:
        yield f"it has {size} bytes, of which ONNX's fields are {model.ByteSize()}"


def _messages(message: Message) -> Iterator[Message]:
    """Yield a message of protobuf and all below it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for below in value if isinstance(value, Sequence) else [value]:
                yield from _messages(below)


def _described(value: onnx.ValueInfoProto) -> str:
    """Write an input or output as ``name: TYPE[sizes]``; the one free size, that of the batch, has any name."""
    tensor = value.type.tensor_type
    sizes = [str(size.dim_value) if size.HasField("dim_value") else "batch" for size in tensor.shape.dim]
    kind = TensorProto.DataType.Name(tensor.elem_type) if value.type.HasField("tensor_type") else "no tensor"
    return f"{value.name}: {kind}[{', '.join(sizes)}]"


def _refused(path: Path, reason: str) -> BundleError:
    return BundleError(f"{path} cannot be used: {reason}; export the model again")
