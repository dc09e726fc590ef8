"""The way from an image file to the pixels that the network sees; servers, training and the gate all come this way.

::

    header --> limit of pixels --> decode --> RGB --> upright --> resize --> cut the middle out

Resizing is that of timm's evaluation (torchvision's, over Pillow), to the bit. Colour profiles are not applied.

Memory, in bytes for each pixel that the limit allows: 4 for the decoded picture, 4 to 8 more while it is made RGB or
turned, 8 for the coefficients of a progressive JPEG, 12 for the buffers of a WebP; at most 24 together (a WebP with
alpha), which is 400 MB at the default limit. What resizing makes is bounded by the same limit (``check_size``). Time at
that limit: 0.2 to 1 s on one core, 1.5 s for a JPEG of a hundred scans. Pillow's process-wide limits are neither asked
nor changed.
"""

import io
import math

import numpy
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from dragoman.errors import InvalidInput
from dragoman.tasks.image_classification.headers import Format, Picture, damaged, read_header
from dragoman.tasks.image_classification.options import Preprocessing

READERS: dict[Format, type[ImageFile]] = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WebP": WebPImageFile}
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# EXIF's orientations, each with what makes it upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A strip of this many squares of the network's size is resized whatever the limit of pixels.
ALLOWED_SQUARES = 16


def decode(data: bytes, preprocessing: Preprocessing, *, max_pixels: int) -> bytes:
    """Turn an image file into RGB pixels of the network's size, rows first, 8 bits a colour.

    Raises InvalidInput with the code unsupported_image, image_too_large or damaged_image.
    """
    return pixels(read_header(data), preprocessing, max_pixels=max_pixels)


def pixels(picture: Picture, preprocessing: Preprocessing, *, max_pixels: int) -> bytes:
    """Decode a picture whose header was read; see ``decode``."""
    return fit(upright(picture, preprocessing, max_pixels=max_pixels), preprocessing).tobytes()


def upright(picture: Picture, preprocessing: Preprocessing, *, max_pixels: int) -> Image.Image:
    """Decode a picture whose header was read, and turn it as its EXIF says; the first half of ``decode``."""
    check_size(picture, preprocessing, max_pixels=max_pixels)
    return whole(picture)


def whole(picture: Picture) -> Image.Image:
    """Decode and turn a picture whose size is known to be no danger."""
    image = _load(picture)
    turn = UPRIGHT.get(picture.orientation)
    return image if turn is None else image.transpose(turn)


def mirrored(found: bytes, preprocessing: Preprocessing) -> bytes:
    """Return pixels mirrored left to right."""
    rows = numpy.frombuffer(found, dtype=numpy.uint8).reshape(preprocessing.height, preprocessing.width, 3)
    return rows[:, ::-1].tobytes()


def check_size(picture: Picture, preprocessing: Preprocessing, *, max_pixels: int) -> None:
    """Raise InvalidInput for a picture that has too many pixels, or that would have while it is resized."""
    width, height = picture.width, picture.height
    if width * height > max_pixels:
        raise InvalidInput(
            f"the image has {width}x{height} pixels, the limit is {max_pixels} together; send a smaller one",
            code="image_too_large",
        )
    if picture.orientation >= 5:
        width, height = height, width
    new_width, new_height = _resized(width, height, preprocessing)
    scaled_width, scaled_height = _scaled(preprocessing)
    # Rows are resized before columns, so a picture has its new width and its old height in between.
    most = max(max_pixels, ALLOWED_SQUARES * scaled_width * scaled_height)
    if max(width, new_width) * max(height, new_height) > most:
        raise InvalidInput(
            f"the image is {width} pixels wide and {height} high, and resizing it would take more than {most} pixels; "
            "cut it, so that its sides are less unequal",
            code="image_too_large",
        )


def fit(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Resize an upright RGB picture and cut its middle out, as timm does before it evaluates a network."""
    size = _resized(image.width, image.height, preprocessing)
    if image.size != size:
        image = image.resize(size, FILTERS[preprocessing.interpolation])
    width, height = preprocessing.width, preprocessing.height
    if image.size == (width, height):
        return image
    # Halves go to the even number, as in torchvision.
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _scaled(preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the width and height of which the network's are the share ``crop_share``."""
    share = preprocessing.crop_share
    return math.floor(preprocessing.width / share), math.floor(preprocessing.height / share)


def _resized(width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the width and height to which a picture is resized."""
    new_width, new_height = _scaled(preprocessing)
    if preprocessing.resizing == "squash":
        return new_width, new_height
    if new_width != new_height:
        # timm's own rounding, where torchvision has no transform.
        ratio = min(height / new_height, width / new_width)
        return round(width / ratio), round(height / ratio)
    if width <= height:
        return new_width, int(new_width * height / width)
    return int(new_height * width / height), new_height


def _load(picture: Picture) -> Image.Image:
    """Decode a picture to RGB."""
    try:
        image = READERS[picture.format](io.BytesIO(picture.encoded))
        if image.size != (picture.width, picture.height):
            raise damaged("it has another size than its header says")
        image.load()
        return _rgb(image)
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:
        # Pillow's readers raise a dozen types of exceptions for a file that is not as it should be.
        raise damaged("its pixels cannot be read") from error


def _rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded picture to RGB; what is transparent shows white below it."""
    # Pillow would copy what is RGB already.
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(layer, mask=layer)
    return white
