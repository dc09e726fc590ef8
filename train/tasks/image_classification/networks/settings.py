"""Settings of the network that is trained: our small one, or any of timm's."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting

Activation = Literal["gelu", "relu", "silu"]
Stem = Literal["imagenet", "small"]
GROUPS = 3


@dataclass(frozen=True, kw_only=True)
class CnnModel:
    """Our own network for CPUs (``train.tasks.image_classification.networks.cnn``), with random weights."""

    kind: Literal["cnn"]
    name: Annotated[str, Setting("what this model is called in reports")]
    widths: Annotated[tuple[int, ...], Setting("maps of each of the three groups, as [a,b,c]")]
    activation: Annotated[Activation, Setting("the function between convolutions")]

    def problem(self) -> str | None:
        """Describe widths that make no network, None where they do."""
        if len(self.widths) != GROUPS or min(self.widths) < 1:
            return f"model.widths must be {GROUPS} numbers of maps, such as [32,64,128], got {list(self.widths)}"
        return None


@dataclass(frozen=True, kw_only=True)
class TimmModel:
    """A network of timm, with random weights or with ones that exist already."""

    kind: Literal["timm"]
    name: Annotated[str, Setting("what this model is called in reports")]
    architecture: Annotated[
        str | None, Setting("a name that timm.create_model takes; null takes that of the weights' config.json")
    ]
    path: Annotated[
        str | None,
        Setting("weights: timm/NAME on the Hugging Face hub, a directory, a .safetensors file; null for random ones"),
    ]
    revision: Annotated[str | None, Setting("commit, tag or branch on the hub; null takes its main branch")]
    stem: Annotated[
        Stem | None,
        Setting(
            "how the network begins: imagenet, as timm makes it, or small, at full resolution for pictures of a few "
            "dozen pixels; null takes that of the weights"
        ),
    ]
    dropout: Annotated[float, Setting("dropout rate before the head in training", minimum=0, maximum=0.9)]
    head_lr_scale: Annotated[
        float, Setting("learning rate of the head of weights that exist, as a multiple of train.lr", minimum=0)
    ]

    def problem(self) -> str | None:
        """Describe what does not go together, None where all does."""
        if self.architecture is None and self.path is None:
            return "model.architecture is required where model.path is null: a name of timm's, such as resnet18"
        return None


MODEL_KINDS: dict[str, type] = {"cnn": CnnModel, "timm": TimmModel}
