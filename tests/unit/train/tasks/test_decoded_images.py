import io
import random

import numpy as np
import pytest
from PIL import Image

from dragoman.errors import DataError
from dragoman.tasks.image_classification.decoding import decode
from dragoman.tasks.image_classification.options import Preprocessing
from tests.toy_images import COLOURS, image_of, toy_files
from train.tasks.image_classification.decoded import DecodedImages
from train.tasks.image_classification.statistics import colours, small_grey

SIZE = Preprocessing(height=12, width=10)


def decoded(preprocessing: Preprocessing = SIZE, max_pixels: int = 10_000) -> DecodedImages:
    return DecodedImages(preprocessing, max_pixels=max_pixels)


def stored_again(image: bytes, **options: object) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(image)).save(file, format="png", **options)
    return file.getvalue()


@pytest.mark.parametrize("resizing", ["shorter_side", "squash"])
def test_pixels_are_those_of_a_server_to_the_bit_in_any_order_and_company(resizing: str) -> None:
    preprocessing = Preprocessing(height=12, width=10, resizing=resizing, crop_share=0.8)
    images = [*toy_files(30).values(), image_of(COLOURS["red"], 1, size=33, kind="jpeg", quality=60)]
    expected = [decode(image, preprocessing, max_pixels=10_000) for image in images]
    assert [pixels.tobytes() for pixels in decoded(preprocessing).pixels(images)] == expected
    mixed = random.Random(1).sample(range(len(images)), len(images))
    alone = decoded(preprocessing)
    for row in mixed:
        (pixels,) = alone.pixels([images[row]])
        assert pixels.shape == (12, 10, 3)
        assert pixels.tobytes() == expected[row]


def test_what_is_no_image_has_its_reason_and_harms_no_other() -> None:
    image = image_of(COLOURS["red"], 1)
    large = image_of((0, 0, 0), 1, size=101)
    broken = {b"text": "unsupported_image", image[:-30]: "damaged_image", large: "image_too_large"}
    images = decoded()
    images.add([*broken, image])
    assert {data: images.flaw(data) for data in broken} == broken
    assert images.flaw(image) is None
    assert images.pixels([image])[0].tobytes() == decode(image, SIZE, max_pixels=10_000)
    with pytest.raises(DataError, match=r"image 2 cannot be decoded \(unsupported_image\); leave it out"):
        images.pixels([image, b"text"])


def test_files_of_the_same_picture_are_the_same_however_it_is_stored() -> None:
    image = image_of(COLOURS["red"], 1)
    images = decoded()
    again = stored_again(image, compress_level=0)
    upside_down = Image.open(io.BytesIO(image)).transpose(Image.Transpose.ROTATE_180)
    exif = Image.Exif()
    exif[0x0112] = 3
    file = io.BytesIO()
    upside_down.save(file, format="png", exif=exif)
    assert len({image, again, file.getvalue()}) == 3
    assert len({images.same(data) for data in (image, again, file.getvalue())}) == 1
    assert images.same(image_of(COLOURS["red"], 2)) != images.same(image)


def test_pictures_that_look_alike_only_once_they_are_small_are_not_the_same() -> None:
    one, other = Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64), "white")
    other.putpixel((0, 0), (254, 255, 255))
    files = [io.BytesIO(), io.BytesIO()]
    for picture, file in zip((one, other), files, strict=True):
        picture.save(file, format="png")
    images = decoded()
    first, second = (file.getvalue() for file in files)
    assert images.pixels([first])[0].tobytes() == images.pixels([second])[0].tobytes()
    assert images.same(first) != images.same(second)


def test_every_file_is_decoded_once_and_progress_is_told() -> None:
    told: list[tuple[str, float]] = []
    images = DecodedImages(SIZE, max_pixels=10_000, tell=lambda text, share: told.append((text, share)))
    files = list(toy_files(50).values())
    images.add([*files, *files])
    images.add(files)
    assert {text for text, _ in told} == {"decoding 150 images to 10x12 pixels, 0 MB of memory"}
    assert [share for _, share in told] == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]


def test_what_memory_cannot_hold_is_refused_before_it_is_taken() -> None:
    images = decoded(Preprocessing(height=1024, width=1024))
    with pytest.raises(DataError, match=r"^100,000 decoded images of 1024x1024 pixels take 314\.6 GB of .*; set im"):
        images.add(str(number).encode() for number in range(100_000))


def test_mean_and_deviation_of_the_colours_are_exact_in_any_order() -> None:
    files = list(toy_files(40).values())
    pixels = decoded().pixels(files)
    mean, std = colours(pixels)
    whole = np.stack(pixels).reshape(-1, 3) / 255
    assert mean == pytest.approx(whole.mean(axis=0), abs=1e-6)
    assert std == pytest.approx(whole.std(axis=0), abs=1e-6)
    assert colours(pixels[::-1]) == (mean, std)


def test_a_colour_that_does_not_vary_can_be_divided_by_its_deviation() -> None:
    white = np.full((4, 4, 3), 255, dtype=np.uint8)
    assert colours([white, white]) == ((1.0, 1.0, 1.0), (0.003922,) * 3)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 32), (30, 17), (5, 9)])
def test_small_grey_pictures_are_averages_of_fields(height: int, width: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 252, height).astype(np.uint8)[:, None, None], (height, width, 3))
    (found,) = small_grey([ramp])
    grey = found.reshape(8, 8)
    assert grey.min() >= 0
    assert grey.max() <= 1
    assert (np.diff(grey, axis=0) >= 0).all()
    assert np.ptp(grey, axis=1) == pytest.approx(0)
    if height % 8 == 0:
        assert grey.mean() == pytest.approx(ramp.mean() / 255)
