"""The classifier that is trained: a network behind the normalisation of its pixels, and its files in timm's layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from dragoman.atomic import to_json
from dragoman.bundle.manifest import BaseModel
from dragoman.tasks.image_classification.options import Preprocessing


class Classifier(nn.Module):
    """From pixels as they are decoded, uint8 [batch, height, width, 3], to logits."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: Any, preprocessing: Preprocessing) -> None:
        super().__init__()
        # On a CPU and with half precision on a GPU, convolutions are quicker where a pixel's values lie together.
        self.network = network.to(memory_format=torch.channels_last)
        # Of values from 0 to 255. Constants, so no part of the weights.
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name), dtype=torch.float64) * 255
            self.register_buffer(name, values.float().view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the logits."""
        logits: torch.Tensor = self.network((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return logits


@dataclass(frozen=True, kw_only=True)
class PreparedNetwork:
    """A network to train or to pack, with what goes into its configuration.

    ``labels`` are in the order of its outputs; ``has_head`` is true where these outputs were trained before; ``head``
    names the last layer.
    """

    network: Any
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    kind: str
    architecture: str
    head: str
    model_args: Mapping[str, Any]
    pretrained_cfg: Mapping[str, Any] = field(default_factory=dict)
    has_head: bool = False
    base_model: BaseModel | None = None

    def config(self) -> dict[str, Any]:
        """Describe the network as timm describes those on the hub, and with the kind of network."""
        given = self.preprocessing
        return {
            "model_type": self.kind,
            "architecture": self.architecture,
            "num_classes": len(self.labels),
            "label_names": list(self.labels),
            "model_args": dict(self.model_args),
            "pretrained_cfg": {
                **self.pretrained_cfg,
                "num_classes": len(self.labels),
                "input_size": [3, given.height, given.width],
                "interpolation": given.interpolation,
                "crop_pct": given.crop_share,
                "crop_mode": "squash" if given.resizing == "squash" else "center",
                "mean": list(given.mean),
                "std": list(given.std),
            },
        }


def write_network(prepared: PreparedNetwork, folder: Path) -> None:
    """Write weights and configuration; the same weights give the same bytes."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in prepared.network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(to_json(prepared.config()), encoding="utf-8")


def parameter_groups(prepared: PreparedNetwork, head_lr_scale: float) -> list[dict[str, Any]]:
    """Make the optimizer's groups: the head, whose learning rate is scaled, and the rest, each in two.

    Biases, and the factors of normalisations, do not decay: nought is no likelier for them than anything else.
    """
    groups: list[dict[str, Any]] = []
    named = [(name, weight) for name, weight in prepared.network.named_parameters() if weight.requires_grad]
    for is_head in (True, False):
        for decays in (True, False):
            chosen = [
                weight
                for name, weight in named
                if name.startswith(f"{prepared.head}.") == is_head and (weight.ndim > 1) == decays
            ]
            if chosen:
                group = {"params": chosen, "lr_scale": head_lr_scale if is_head else 1.0}
                groups.append(group if decays else {**group, "weight_decay": 0.0})
    return groups
