"""A TorchServe handler over timm alone; it travels into the archive with ``timm_classifier``.

Its design is that of TorchServe's own ``image_classifier`` and ``vision_handler``: each image of a batch is decoded and
transformed by itself, ``torch.stack`` makes the batch, and the five best classes are answered with their probabilities.
It differs in what it loads, timm's network and transform in the place of torchvision's, and converts each image to RGB,
as timm's documentation does and those do not. Like those it has no limit of pixels, and an image that cannot be decoded
fails the whole batch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from ts.torch_handler.base_handler import BaseHandler

if TYPE_CHECKING:
    from benchmarks.image_classification.peers.timm_classifier import TimmClassifier
else:
    # It lies beside this file in the archive.
    from timm_classifier import TimmClassifier


class ImageHandler(BaseHandler):  # type: ignore[misc]
    """Classification of image files in batches."""

    def initialize(self, context: Any) -> None:
        """Load the network."""
        self.classifier = TimmClassifier(Path(context.system_properties["model_dir"]) / "bundle")
        Image.MAX_IMAGE_PIXELS = None
        self.initialized = True

    def preprocess(self, data: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
        """Decode and transform each image."""
        return [self.classifier.read(bytes(row.get("data") or row["body"])) for row in data]

    def inference(self, data: list[torch.Tensor], *args: Any, **kwargs: Any) -> list[dict[str, float]]:
        """Return the best labels of a batch with their probabilities."""
        return self.classifier.classify(data)

    def postprocess(self, data: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return them as they are."""
        return data
