"""The size of the pixels that a network sees, and what becomes of a picture before."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from dragoman import strict
from dragoman.errors import DataError, InvalidInput
from dragoman.tasks.image_classification.headers import read_header
from dragoman.tasks.image_classification.options import Colour, Interpolation, Preprocessing

# Of pictures that a network is to learn from scratch: below, nothing is left of them behind its pools, and above, no
# CPU comes to an end.
LEAST_SIDE, MOST_SIDE = 16, 64
# Headers that are looked at to tell the size of the pictures of a corpus.
SAMPLED = 1000


def choose_preprocessing(
    given: Mapping[str, Any], config: Mapping[str, Any] | None, images: Sequence[bytes]
) -> Preprocessing:
    """Put together the settings ``images``, what weights were trained with, and else what a corpus looks like.

    ``config`` is timm's, of weights that exist or of an architecture with one size; None where the corpus decides.
    Colours that neither names are those of the default; ``with_colours`` replaces them.
    """
    height, width = _corpus_size(images) if config is None else config["input_size"][1:]
    found: dict[str, Any] = {"height": height, "width": width}
    if config is not None:
        found |= {
            "mean": tuple(config["mean"]),
            "std": tuple(config["std"]),
            "crop_share": config.get("crop_pct") or 1.0,
        }
        if config.get("interpolation") in get_args(Interpolation):
            found["interpolation"] = config["interpolation"]
        if config.get("crop_mode") == "squash":
            found["resizing"] = "squash"
    found |= {name: value for name, value in given.items() if value is not None}
    if given["height"] is not None and given["width"] is None:
        found["width"] = given["height"]
    parsed = strict.parse(found, Preprocessing)
    problems = [*parsed.problems]
    if {len(found[name]) for name in ("mean", "std") if name in found} - {3}:
        problems.append("mean and std must be three numbers each")
    if problems:
        # Found now and not when the bundle is written, hours later.
        raise DataError(
            f"the model's own configuration asks for pixels that no server makes: {'; '.join(problems)}; set "
            "images.… to other ones"
        )
    chosen: Preprocessing = parsed.value
    return chosen


def with_colours(preprocessing: Preprocessing, mean: Colour, std: Colour) -> Preprocessing:
    """Give the preprocessing the colours of a corpus."""
    return dataclasses.replace(preprocessing, mean=mean, std=std)


def _corpus_size(images: Sequence[bytes]) -> tuple[int, int]:
    """Take the size of the images, where all have the same; else a square of the usual shorter side."""
    sizes = []
    for image in images[:: max(1, len(images) // SAMPLED)]:
        try:
            picture = read_header(image)
        except InvalidInput:
            continue  # which cleaning counts
        turned = picture.orientation >= 5
        sizes.append((picture.width, picture.height) if turned else (picture.height, picture.width))
    if sizes and len(set(sizes)) == 1 and min(sizes[0]) >= LEAST_SIDE and max(sizes[0]) <= MOST_SIDE:
        return sizes[0]
    shorter = int(statistics.median(map(min, sizes))) if sizes else LEAST_SIDE
    side = min(max(shorter, LEAST_SIDE), MOST_SIDE)
    return side, side
