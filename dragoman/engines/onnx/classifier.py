"""The interface between tasks that classify images and the engines that do it, and the sizes that those share."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy
from numpy.typing import NDArray

from dragoman.engines.selection import Engine

# Pixels that wait in one class of requests may take so much memory; there are two classes.
MAX_WAITING_BYTES = 128 << 20
MAX_WAITING_ITEMS = 4_096

Pixels = NDArray[numpy.uint8]


class ImageClassifier(Engine, Protocol):
    """An engine that gives logits for images; constructed with ``height``, ``width`` and the number of ``labels``."""

    def logits(self, images: Sequence[bytes]) -> list[tuple[float, ...]]:
        """Return a logit for each label, in order, of each image; threads may share it.

        An image is its pixels, rows first, red, green and blue. Its logits are to the last bit the same alone and in
        any batch.
        """
        ...


def waiting_limits(height: int, width: int) -> Mapping[str, int]:
    """Return the limits of a Capacity for images of this size, each of which costs 1."""
    images = max(1, MAX_WAITING_BYTES // (height * width * 3))
    return {"max_waiting_items": min(images, MAX_WAITING_ITEMS), "max_waiting_cost": min(images, MAX_WAITING_ITEMS)}


def pixel_array(images: Sequence[bytes], height: int, width: int) -> Pixels:
    """Return images as one array [image, row, column, colour]; raises ValueError for one of another size."""
    return numpy.frombuffer(b"".join(images), dtype=numpy.uint8).reshape(len(images), height, width, 3)
