"""The manifest of a classifier of images: its labels, what becomes of an image before the network, and its limits."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting
from dragoman.tasks import base
from dragoman.tasks.classification import problem_of_labels

Resizing = Literal["shorter_side", "squash"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The way from a decoded picture to the pixels that the network sees.

    ``shorter_side`` resizes a picture until its shorter side is the input's divided by ``crop_share``, and cuts the
    middle out; ``squash`` does not keep the proportions. ``mean`` and ``std`` are those of red, green and blue, from 0
    to 1, and stand in the network itself.
    """

    height: Annotated[int, Setting("rows of pixels that the network sees", minimum=1, maximum=1024)]
    width: Annotated[int, Setting("columns of pixels that the network sees", minimum=1, maximum=1024)]
    resizing: Annotated[Resizing, Setting("keep the proportions and cut the middle out, or squash")] = "shorter_side"
    crop_share: Annotated[float, Setting("share of the resized sides that is cut out", minimum=0.1, maximum=1)] = 1.0
    interpolation: Annotated[Interpolation, Setting("how pixels are resized")] = "bicubic"
    mean: Annotated[Colour, Setting("mean of each colour")] = (0.485, 0.456, 0.406)
    std: Annotated[Colour, Setting("standard deviation of each colour")] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a classifier of images; ``labels`` are in the order of the network's outputs."""

    labels: tuple[str, ...]
    preprocessing: Preprocessing
    average_mirrored: Annotated[bool, Setting("average an image's answer with that of its mirror image")] = False
    temperature: Annotated[float, Setting("what logits are divided by before the softmax", minimum=0.01)] = 1.0

    def problem(self) -> str | None:
        """Describe what does not go together among the options, None where all does."""
        return problem_of_labels(self.labels)


@dataclass(frozen=True, kw_only=True)
class Limits(base.Limits):
    """The limits of a server; sizes in bytes and pixels.

    ``max_pixels`` is looked at before an image is decoded: a file of a few kilobytes may stand for gigabytes. It holds
    for all images of a request together, one of which may be that large.
    """

    max_body_bytes: Annotated[int, Setting("bytes of a request's body", minimum=1)] = 8_388_608
    max_items: Annotated[int, Setting("images of a request", minimum=1)] = 64
    max_pixels: Annotated[int, Setting("pixels of a request's images together", minimum=1)] = 16_777_216
