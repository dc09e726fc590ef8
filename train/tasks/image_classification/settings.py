"""The settings of a training of image classification, beside those of every training."""

from dataclasses import dataclass
from typing import Annotated, Any

from dragoman.strict import Setting, Variants
from dragoman.tasks.image_classification.options import Colour, Interpolation, Limits, Resizing
from train.config.settings import Config
from train.tasks.classification.classes import ClassSettings
from train.tasks.image_classification.data_kinds import DATA_KINDS, data_settings
from train.tasks.image_classification.networks.settings import MODEL_KINDS


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The way from a picture to what the network sees; null takes what the model's own configuration says."""

    height: Annotated[int | None, Setting("rows of pixels that the network sees", minimum=8, maximum=1024)]
    width: Annotated[int | None, Setting("columns of pixels; null takes as many as rows", minimum=8, maximum=1024)]
    resizing: Annotated[Resizing | None, Setting("keep the proportions and cut the middle out, or squash")]
    crop_share: Annotated[float | None, Setting("share of the resized sides that is cut out", minimum=0.1, maximum=1)]
    interpolation: Annotated[Interpolation | None, Setting("how pixels are resized")]
    mean: Annotated[
        Colour | None,
        Setting("mean of red, green and blue as [r,g,b] from 0 to 1; null takes the model's, or the corpus'"),
    ]
    std: Annotated[Colour | None, Setting("their standard deviations, in the same way")]


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """The random changes of training images."""

    mirror: Annotated[bool, Setting("mirror half of the images left to right")]
    shift: Annotated[int, Setting("pixels by which an image is shifted at most, each way", minimum=0)]
    scale: Annotated[float, Setting("least share of the area that is cut out and enlarged", minimum=0.05, maximum=1)]
    erase: Annotated[int, Setting("side of a square of pixels that is painted over; 0 paints none", minimum=0)]


@dataclass(frozen=True, kw_only=True)
class ImageClassificationConfig(Config):
    """One training of image classification."""

    data: Annotated[Any, Variants(tuple(DATA_KINDS), data_settings)]
    model: Annotated[Any, Variants(tuple(MODEL_KINDS), MODEL_KINDS.__getitem__)]
    classes: ClassSettings
    images: ImageSettings
    augment: AugmentSettings
    average_mirrored: Annotated[bool, Setting("average an image's answer with that of its mirror image")]
    limits: Limits

    def problems(self) -> list[str]:
        """Add what makes no model, colours that are no three numbers, and one of them without the other."""
        found = super().problems()
        if problem := self.model.problem():
            found.append(problem)
        for name in ("mean", "std"):
            value = getattr(self.images, name)
            if value is not None and (len(value) != 3 or not all(0 <= part <= 1 for part in value)):
                found.append(f"images.{name} must be three numbers from 0 to 1, [red,green,blue], got {list(value)}")
            elif name == "std" and value is not None and min(value) <= 0:
                found.append(f"images.std must be more than 0 for every colour, got {list(value)}")
        if (self.images.mean is None) != (self.images.std is None):
            found.append("images.mean and images.std belong together: set both, or leave both null")
        return found

    def corpus_settings(self) -> tuple[object, ...]:
        """Add what decides which images are left out: the classes, and the images that are too large."""
        return *super().corpus_settings(), self.classes.names, self.classes.unknown, self.limits.max_pixels
