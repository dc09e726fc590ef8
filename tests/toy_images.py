"""Images that a toy classifier learns in seconds: a class is the colour of a noisy square."""

import io
import random
from collections.abc import Mapping
from pathlib import Path

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (210, 50, 40)}


def image_of(colour: tuple[int, int, int], seed: int, *, size: int = 16, kind: str = "png", **options: object) -> bytes:
    """Return a square of a colour with noise, as an image file; another seed gives another one."""
    from PIL import Image

    chance = random.Random(f"{colour} {seed} {size}")
    pixels = bytes(max(0, min(255, part + chance.randint(-40, 40))) for _ in range(size * size) for part in colour)
    file = io.BytesIO()
    Image.frombytes("RGB", (size, size), pixels).save(file, format=kind, **options)
    return file.getvalue()


def toy_files(count: int = 12, *, size: int = 16) -> dict[str, bytes]:
    """Return files by their paths, ``count`` of each of the three colours."""
    return {
        f"{label}/{number:03d}.png": image_of(colour, number, size=size)
        for label, colour in COLOURS.items()
        for number in range(count)
    }


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files under a folder; returns it."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
