"""Changes of an image, with which the gate asks a model again."""

import io

import numpy
from PIL import Image

from dragoman.tasks.image_classification.task import ImageClassification
from dragoman.tasks.image_classification.variations import jpeg, mirror


def seen(data: bytes) -> numpy.ndarray:
    """Decode as Pillow does, upright or not."""
    return numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def photo(kind: str, **settings: object) -> tuple[bytes, numpy.ndarray]:
    """Write a picture of 24x10 pixels, bright at its left end."""
    down, right = numpy.meshgrid(numpy.arange(10), numpy.arange(24), indexing="ij")
    pixels = numpy.stack([250 - 10 * right, 20 * down, 100 + 0 * down], axis=2).astype(numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue(), pixels.astype(int)


def test_a_mirrored_picture_has_the_same_pixels_from_right_to_left():
    data, pixels = photo("PNG")
    assert (seen(mirror(data)) == pixels[:, ::-1]).all()
    assert mirror(mirror(data)) == mirror(mirror(mirror(mirror(data))))


def test_a_picture_that_lies_on_its_side_is_mirrored_as_it_is_seen():
    turned = Image.Exif()
    turned[0x0112] = 6
    data, pixels = photo("PNG", exif=turned)
    upright = numpy.rot90(pixels, k=-1)
    assert (seen(mirror(data)) == upright[:, ::-1]).all()
    assert seen(jpeg(data)).shape == upright.shape


def test_a_picture_is_written_again_as_a_jpeg_that_looks_alike():
    data, pixels = photo("PNG")
    again = jpeg(data)
    assert again.startswith(b"\xff\xd8\xff")
    assert again == jpeg(data)
    difference = numpy.abs(seen(again) - pixels)
    assert 0 < difference.mean() < 12


def test_what_is_transparent_is_white_as_it_is_served():
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(file, "PNG")
    for change in (jpeg, mirror):
        assert (seen(change(file.getvalue())) > 250).all()


def test_a_label_is_the_decision_of_an_output():
    assert ImageClassification.decision({"cat": 0.9, "dog": 0.1}) == "cat"
    assert ImageClassification.decision(ImageClassification.no_output) is None
