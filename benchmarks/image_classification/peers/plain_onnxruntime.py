"""An image at a time through onnxruntime, as its own documentation does it, with the pixels that ours sees."""

from pathlib import Path

import numpy
import onnxruntime

from dragoman.bundle.store import open_bundle
from dragoman.tasks.base import task_class
from dragoman.tasks.image_classification.decoding import decode


class OnnxruntimeClassifier:
    """The bundle's graph on one thread; threads may share it."""

    def __init__(self, bundle_dir: str) -> None:
        bundle = open_bundle(bundle_dir)
        task = task_class(bundle.manifest.task)
        self._options, self._max_pixels = task.options_of(bundle.manifest), task.limits_of(bundle.manifest).max_pixels
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        graph = Path(bundle_dir) / "engines" / "onnx" / "model.onnx"
        self._session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])

    def read(self, data: bytes) -> bytes:
        """Decode an image file to the pixels of the network's size."""
        return decode(data, self._options.preprocessing, max_pixels=self._max_pixels)

    def __call__(self, data: bytes) -> dict[str, float]:
        """Return the most likely label of an image file and its probability."""
        preprocessing = self._options.preprocessing
        pixels = numpy.frombuffer(self.read(data), dtype=numpy.uint8)
        images = pixels.reshape(1, preprocessing.height, preprocessing.width, 3)
        (logits,) = self._session.run(None, {"pixels": images})[0]
        raised = numpy.exp((logits - logits.max()) / self._options.temperature)
        best = int(raised.argmax())
        return {self._options.labels[best]: float(raised[best] / raised.sum())}
