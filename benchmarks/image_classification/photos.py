"""Photographs as JPEG files: pieces of the two real ones that scikit-learn ships, each with colours of its own.

Decoding costs what it costs for real ones only where the pixels have as much detail, which drawn noise has not. A
piece that is larger than the photograph continues with its mirror images. Files are of quality 85 to 90 with colours at
half the resolution, as cameras write them: 20 to 110 kB at 500x375 pixels, 140 to 460 kB at 1280x960.
"""

import io
from functools import cache

import numpy
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

Pixels = NDArray[numpy.uint8]
# Of each colour, what light and film change about the same scene.
LEAST_GAIN, MOST_GAIN = 0.6, 1.3
LEAST_QUALITY, MOST_QUALITY = 85, 90


def photo(number: int, *, width: int, height: int) -> bytes:
    """Make a JPEG file; the same number gives the same one."""
    chooser = numpy.random.default_rng((number, width, height))
    photographs = _photographs()
    whole = photographs[chooser.integers(len(photographs))]
    rows, columns = (_piece(chooser, side, wanted) for side, wanted in zip(whole.shape, (height, width), strict=False))
    gains = chooser.uniform(LEAST_GAIN, MOST_GAIN, 3)
    pixels = (whole[rows][:, columns] * gains).clip(0, 255).astype(numpy.uint8)
    file = io.BytesIO()
    quality = int(chooser.integers(LEAST_QUALITY, MOST_QUALITY, endpoint=True))
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


@cache
def _photographs() -> tuple[Pixels, ...]:
    return tuple(load_sample_images().images)


def _piece(chooser: numpy.random.Generator, side: int, wanted: int) -> NDArray[numpy.int64]:
    """Choose that many neighbouring places of a side, which runs forth and back without end."""
    places = chooser.integers(2 * side) + numpy.arange(wanted)
    there = places % (2 * side)
    back: NDArray[numpy.int64] = numpy.minimum(there, 2 * side - 1 - there)
    return back
