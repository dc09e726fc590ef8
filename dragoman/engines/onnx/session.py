"""onnxruntime on a CPU: the engine that ships for classifiers of images."""

import os
from collections.abc import Mapping, Sequence

# Read when it is imported: its builds otherwise write an id of the machine into the user's cache and send usage data.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from dragoman.bundle.store import Bundle
from dragoman.engines.cpu import usable_cores
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
from dragoman.errors import BundleError, ConfigError, InferenceError
from dragoman.items.sizes import Capacity

# Each image of a batch is computed by itself, in one thread. Batches of images run no faster there: per image, in CPU
# time, on a Xeon with AVX-512:
#
#                              alone   of 8    of 32
#   resnet18, 224 px           34.8    34.1    34.1 ms
#   convnext_atto, 224 px      14.0    14.7    15.4
#   three small stages, 32 px   0.45    0.43    0.43
#   resnet18, 32 px            12.3    10.4     9.8     its weights are large beside its pictures
#
# So nothing depends on the neighbours of an image, on whatever processor: a kernel that is chosen by the size of a
# batch (one row or several of a matrix, say) is always the same, and no check at the start has to find out.
#
# A batch is then only what one worker takes at a time, and saves a small network the way to a thread and back, which
# is about as long as its computing. Large pictures go in small batches, whose first image waits for the last one.
#
# Memory is bounded for the same reason. onnxruntime keeps the largest block that it ever needed (its arena), and all
# images need the same: resnet18 at 224 px stays at 174 MB in two threads, and grew to 686 in batches of 1 to 32.
# Without the arena it takes 184 to 214 MB, and is no faster.
BATCH_PIXELS = 1 << 17
# One image and its mirror image are a short request, which costs at most half a batch.
SMALLEST_BATCH, LARGEST_BATCH = 4, 16
# Of onnxruntime's messages nothing is printed: what fails raises an error.
FATAL = 4


class OnnxClassifier:
    """The bundle's graph in float32, image by image, on as many cores as there are."""

    name = "onnxruntime"
    is_exact = True
    device = "cpu"

    def __init__(self, bundle: Bundle, device: str, *, height: int, width: int, labels: int) -> None:
        """Check the graph, load it and compute one image.

        Raises ConfigError for another device, BundleError for a graph that cannot be computed.
        """
        if device == "cuda":
            raise ConfigError("device is cuda, and onnxruntime computes on a CPU here; use engine=torch, or device=cpu")
        self._height, self._width = height, width
        self.capacity = Capacity(
            parallel_batches=usable_cores(),
            batch_cost=min(max(SMALLEST_BATCH, BATCH_PIXELS // (height * width)), LARGEST_BATCH),
            **waiting_limits(height, width),
        )
        path = graph_path(bundle)
        data = read_graph(path)
        check_interface(parse_graph(data, path), path, height=height, width=width, labels=labels)
        try:
            self._session = _session(data)
            found = self._alone(bytes(height * width * 3))
        except Exception as error:
            # Its errors have no class in common but this one.
            raise BundleError(f"onnxruntime cannot compute {path}: {error}; export the model again") from error
        if len(found) != labels:
            raise BundleError(f"{path} gave {len(found)} logits, and the bundle has {labels} labels; export it again")

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return the reason why this engine cannot run the bundle, or None."""
        return missing_graph(bundle)

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``."""
        return {"engine": self.name, "device": self.device, "parallel": self.capacity.parallel_batches}

    def logits(self, images: Sequence[bytes]) -> list[tuple[float, ...]]:
        """See ``ImageClassifier.logits``."""
        try:
            return [self._alone(image) for image in images]
        except Exception as error:
            raise InferenceError(f"onnxruntime failed on a batch of {len(images)} images: {error}") from error

    def _alone(self, image: bytes) -> tuple[float, ...]:
        pixels = pixel_array([image], self._height, self._width)
        (logits,) = self._session.run([LOGITS], {PIXELS: pixels})
        return tuple(logits[0].tolist())

    def close(self) -> None:
        """Free the model."""
        del self._session


def _session(data: bytes) -> onnxruntime.InferenceSession:
    """Load a graph from its bytes, for threads that each compute one image at a time."""
    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(FATAL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Bytes that were checked as ONNX are not taken for onnxruntime's own format, which has other contents.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
