"""A client of TorchServe's gRPC, made at run time from the protos inside the installed torchserve.

python -m deploy.torchserve.grpc_client --address 127.0.0.1:7070 --model NAME "Where is the station?"
"""

import argparse
import json
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from deploy.torchserve.config import missing, torchserve_home
from dragoman.errors import ConfigError, InferenceError, InvalidInput, UnavailableError, run_cli
from dragoman.http.protocol import Body
from dragoman.items.files import list_files
from dragoman.task_table import TASKS
from dragoman.tasks.base import task_class

SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
# Where the protos lie in the server's jar, and the names by which they import each other.
PROTOS = {
    "proto/inference.proto": "inference.proto",
    "google/rpc/status.proto": "google/rpc/status.proto",
    "google/protobuf/any.proto": "google/protobuf/any.proto",
    "google/protobuf/empty.proto": "google/protobuf/empty.proto",
}
TIMEOUT_S = 60.0


class InferenceClient:
    """A connection to one TorchServe, which threads may share; a context manager that closes it.

    A payload is a body, given as bytes, or as the mapping to encode as JSON. TorchServe's gRPC has no status for a
    request that the model refuses: the body of such an answer holds ``error`` and ``code`` (see ``checked``).
    """

    def __init__(self, address: str) -> None:
        """Prepare a connection to ``host:port``; raises ConfigError when torchserve or grpcio-tools is missing."""
        self._address = address
        # No proxy of the environment stands between two processes of one machine, and documents may exceed gRPC's 4 MB.
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=options)
        method = _service().methods_by_name["Predictions"]
        self._request: Any = message_factory.GetMessageClass(method.input_type)
        coders: dict[str, Any] = {
            "request_serializer": self._request.SerializeToString,
            "response_deserializer": message_factory.GetMessageClass(method.output_type).FromString,
        }
        self._unary = self._channel.unary_unary(f"/{SERVICE}/Predictions", **coders)
        self._stream = self._channel.unary_stream(f"/{SERVICE}/StreamPredictions", **coders)

    def predict(self, model: str, payload: Mapping[str, Any] | bytes) -> Body:
        """Ask by ``Predictions``; raises UnavailableError when TorchServe does not answer, or has no such model."""
        return self.send(model, {"data": _encoded(payload)})

    def predict_stream(self, model: str, payload: Mapping[str, Any] | bytes) -> list[Body]:
        """Ask by ``StreamPredictions`` and return all messages; raises as ``predict`` does."""
        request = self._request(model_name=model, input={"data": _encoded(payload)})
        try:
            return [_decoded(message) for message in self._stream(request, timeout=TIMEOUT_S)]
        except grpc.RpcError as error:
            raise self._unavailable(error) from error

    def send(self, model: str, inputs: Mapping[str, bytes]) -> Body:
        """Ask by ``Predictions`` with any inputs: the body as ``data`` or ``body``, or the fields of a form."""
        try:
            return _decoded(self._unary(self._request(model_name=model, input=inputs), timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _unavailable(self, error: Any) -> UnavailableError:
        details = (error.details() or "").partition("\n")[0]
        return UnavailableError(f"TorchServe at {self._address} gave no answer: {error.code().name} {details}".rstrip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked(body: Body) -> Body:
    """Return a body that is no error; raises InvalidInput or InferenceError with the text of one that is."""
    if not isinstance(body, dict) or "code" not in body:
        return body
    if body["code"] in InvalidInput.statuses:
        raise InvalidInput(body["error"], code=body["code"], field=body.get("field"))
    raise InferenceError(body["error"])


def _encoded(payload: Mapping[str, Any] | bytes) -> bytes:
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def _decoded(message: Any) -> Body:
    body: Body = json.loads(message.prediction)
    return body


@cache
def _service() -> Any:
    """Describe the inference service, compiled from the protos that this very server speaks."""
    try:
        from grpc_tools import protoc
    except ImportError as error:
        raise missing("grpcio-tools") from error
    with tempfile.TemporaryDirectory(prefix="torchserve-protos-") as folder:
        with zipfile.ZipFile(torchserve_home() / "ts" / "frontend" / "model-server.jar") as jar:
            for name, import_name in PROTOS.items():
                target = Path(folder, import_name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(jar.read(name))
        compiled = Path(folder, "descriptors")
        options = [f"-I{folder}", "--include_imports", f"--descriptor_set_out={compiled}"]
        if protoc.main(["protoc", *options, "inference.proto"]) != 0:
            raise ConfigError("protoc cannot compile TorchServe's inference.proto; install torchserve==0.12.0")
        files = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes())
    # A pool of its own: other libraries in this process register google/rpc/status.proto as well.
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool.FindServiceByName(SERVICE)


def main() -> None:
    """Send the inputs of the command line in one request and print one output a line."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.torchserve.grpc_client", description="Ask a model in TorchServe over gRPC."
    )
    parser.add_argument("--address", default="127.0.0.1:7070", help="host and port of gRPC (default: %(default)s)")
    parser.add_argument("--model", required=True, help="the model's name, as the server was started with it")
    parser.add_argument("--task", choices=sorted(TASKS), default=next(iter(TASKS)), help="its task (%(default)s)")
    parser.add_argument("item", nargs="+", help="an input of the model: a text, or a file's name")
    arguments = parser.parse_args()
    task = task_class(arguments.task)
    with InferenceClient(arguments.address) as client:
        items = [path.read_bytes() for path in list_files(arguments.item)] if task.takes_files else arguments.item
        body = checked(client.predict(arguments.model, task.request_for(items)))
    for output in task.outputs_of(body):
        print(output if isinstance(output, str) else task.line(output))


if __name__ == "__main__":
    run_cli(main)
