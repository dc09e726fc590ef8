"""Changes of an image that should leave its label alone, with which the gate asks a model again."""

import io

from PIL import Image

from dragoman.tasks.image_classification.decoding import whole
from dragoman.tasks.image_classification.headers import read_header

# The default of most programs that write JPEGs.
JPEG_QUALITY = 75


def jpeg(data: bytes) -> bytes:
    """Write the picture that a file stands for once more, as a JPEG: what a web site or a messenger does to a photo."""
    return _written(whole(read_header(data)), "JPEG", quality=JPEG_QUALITY)


def mirror(data: bytes) -> bytes:
    """Mirror the picture that a file stands for, left to right, without a loss."""
    return _written(whole(read_header(data)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG", compress_level=1)


def _written(image: Image.Image, kind: str, **settings: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()
