"""The image files that are sent: photographs as web pages show them, larger ones, thumbnails, and a phone's."""

from benchmarks.image_classification.photos import photo
from benchmarks.serving.workloads import Workloads

ITEMS, OTHER, SHORT, LONG = 500, 100, 200, 8
# Milliseconds of one core for ResNet-18 at 224 pixels, with decoding: 35 for the network, 3 to read 500x375 pixels, and
# 150 for those of 12 megapixels.
COST, LONG_COST = 38.0, 185.0


def load_workloads() -> Workloads:
    """Make all files, the same ones every time."""
    items = _photos(ITEMS, 500, 375)
    return Workloads(
        items=items,
        # There is no label to be right about.
        references=(None,) * len(items),
        other=_photos(OTHER, 1280, 960),
        short=_photos(SHORT, 160, 120),
        long=_photos(LONG, 4000, 3000),
        cost=COST,
        long_cost=LONG_COST,
    )


def _photos(count: int, width: int, height: int) -> tuple[bytes, ...]:
    return tuple(photo(number, width=width, height=height) for number in range(count))
