"""Figures of the training images: mean and deviation of their colours, and small grey pictures."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dragoman.tasks.image_classification.options import Colour
from train.tasks.image_classification.decoded import Pixels

LARGEST = 255
# A colour that does not vary has this deviation, one step of its scale, since it is divided by.
LEAST_DEVIATION = 1 / LARGEST
# Images that are looked at together, so that little memory is taken beside them.
TOGETHER = 512
# Digits of a mean in settings and manifests.
DIGITS = 6
SIDE = 8


def colours(images: Sequence[Pixels]) -> tuple[Colour, Colour]:
    """Compute mean and standard deviation of red, green and blue, from 0 to 1; the order of the images is all the same.

    Counts of values are whole numbers, so that nothing is rounded before the end.
    """
    counts = np.zeros((3, LARGEST + 1), dtype=np.int64)
    for stacked in _together(images):
        for colour in range(3):
            counts[colour] += np.bincount(stacked[..., colour].ravel(), minlength=LARGEST + 1)
    total, values = counts[0].sum(), np.arange(LARGEST + 1)
    means = counts @ values / total
    deviations = np.sqrt(counts @ values**2 / total - means**2)
    mean = [round(float(value) / LARGEST, DIGITS) for value in means]
    std = [round(max(float(value) / LARGEST, LEAST_DEVIATION), DIGITS) for value in deviations]
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def small_grey(images: Sequence[Pixels]) -> npt.NDArray[np.float64]:
    """Average each image over 8x8 fields and its colours; one row an image, from 0 to 1."""
    height, width = images[0].shape[:2]
    # Fields of a side that is no multiple of 8 differ by a pixel; of one that is smaller, they share pixels.
    tops, lefts = (np.arange(SIDE) * side // SIDE for side in (height, width))
    rows = []
    for stacked in _together(images):
        grey = stacked.sum(axis=3, dtype=np.float64)
        fields = np.add.reduceat(np.add.reduceat(grey, tops, axis=1), lefts, axis=2)
        heights, widths = (np.maximum(np.diff([*cut, side]), 1) for cut, side in ((tops, height), (lefts, width)))
        rows.append(fields / (3 * LARGEST * np.outer(heights, widths)))
    return np.concatenate(rows).reshape(len(images), SIDE * SIDE)


def _together(images: Sequence[Pixels]) -> Iterator[Pixels]:
    for start in range(0, len(images), TOGETHER):
        yield np.stack(images[start : start + TOGETHER])
