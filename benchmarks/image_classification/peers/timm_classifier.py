"""A network of timm with timm's own transform for evaluation, as its documentation uses both.

It needs no other module of ours, since it travels into TorchServe's archive.
"""

import importlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

TOP_K = 5
# Operators that torchvision 0.28.0 gives a Python function on import; see ``import_timm``.
OPERATORS = ("nms", "qnms")
# Declarations last as long as the objects that made them.
_declared: list[Any] = []


def import_timm() -> Any:
    """Import timm where torchvision's compiled part does not fit PyTorch, as PyPI's does not fit PyTorch for CPUs.

    Its import fails only since nothing has declared the names of two operators, which are never called here.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
    return importlib.import_module("timm")


class TimmClassifier:
    """The bundle's weights in fp32, computed eagerly by PyTorch on one thread."""

    def __init__(self, bundle_dir: str | Path) -> None:
        torch.set_num_threads(1)
        timm = import_timm()
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
        self.transform: Any = timm.data.create_transform(
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
