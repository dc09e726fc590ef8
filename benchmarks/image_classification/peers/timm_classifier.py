"""A network of timm with timm's own transform for evaluation, as its documentation uses both.

It travels into TorchServe's archive, with the one module of ours that it needs.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

try:
    from train.tasks.torchvision_pair import pair_torchvision
except ImportError:
    # In the archive it lies beside this file.
    from torchvision_pair import pair_torchvision  # type: ignore[import-not-found,no-redef]

TOP_K = 5


class TimmClassifier:
    """The bundle's weights in fp32, computed eagerly by PyTorch on one thread."""

    def __init__(self, bundle_dir: str | Path) -> None:
        torch.set_num_threads(1)
        pair_torchvision()
        # It imports torchvision, for which the way is clear only now.
        import timm

        bundle = Path(bundle_dir)
        options = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["options"]
        config = json.loads((bundle / "model" / "config.json").read_text(encoding="utf-8"))
        self.labels: list[str] = options["labels"]
        self._model: Any = timm.create_model(
            config["architecture"], num_classes=len(self.labels), **config.get("model_args") or {}
        )
        self._model.load_state_dict(load_file(bundle / "model" / "model.safetensors"))
        self._model.eval()
        preprocessing = options["preprocessing"]
        self.transform: Any = timm.data.create_transform(  # type: ignore[attr-defined]
            input_size=(3, preprocessing["height"], preprocessing["width"]),
            interpolation=preprocessing["interpolation"],
            mean=tuple(preprocessing["mean"]),
            std=tuple(preprocessing["std"]),
            crop_pct=preprocessing["crop_share"],
            crop_mode="squash" if preprocessing["resizing"] == "squash" else "center",
        )

    def read(self, data: bytes) -> torch.Tensor:
        """Decode an image file and transform it."""
        return self.prepare(Image.open(io.BytesIO(data)))

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Transform an opened image."""
        tensor: torch.Tensor = self.transform(image.convert("RGB"))
        return tensor

    @torch.inference_mode()
    def classify(self, images: Sequence[torch.Tensor]) -> list[dict[str, float]]:
        """Return the most likely labels of each image of a batch, with their probabilities."""
        probabilities = self._model(torch.stack(list(images))).softmax(dim=1)
        scores, classes = probabilities.topk(min(TOP_K, len(self.labels)), dim=1)
        return [
            {self.labels[index]: score for index, score in zip(row, found, strict=True)}
            for row, found in zip(classes.tolist(), scores.tolist(), strict=True)
        ]
