import dataclasses
import io
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import pytest
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from dragoman.errors import InvalidInput
from dragoman.tasks.image_classification import headers
from dragoman.tasks.image_classification.decoding import decode, mirrored
from dragoman.tasks.image_classification.headers import read_header
from dragoman.tasks.image_classification.options import Preprocessing

AS_IT_IS = Preprocessing(height=12, width=20, resizing="squash")
LIMIT = 1_000_000


def noise(width: int = 20, height: int = 12, mode: str = "RGB", seed: int = 3) -> Image.Image:
    """A picture in which every pixel differs from its neighbours."""
    pixels = numpy.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=numpy.uint8)
    return Image.fromarray(pixels).convert(mode)


def smooth(width: int, height: int) -> Image.Image:
    return noise(8, 6).resize((width, height), Image.Resampling.BICUBIC)


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def declared(width: int, height: int, *, bits: int = 8, colour: int = 2, rows: bytes = b"") -> bytes:
    """A PNG of any size, with as many rows as are given."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return headers.PNG + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def decoded(data: bytes, preprocessing: Preprocessing = AS_IT_IS, max_pixels: int = LIMIT) -> Image.Image:
    found = decode(data, preprocessing, max_pixels=max_pixels)
    return Image.frombytes("RGB", (preprocessing.width, preprocessing.height), found)


def refusal(data: bytes, preprocessing: Preprocessing = AS_IT_IS, max_pixels: int = LIMIT) -> tuple[int, str, str]:
    with pytest.raises(InvalidInput) as caught:
        decode(data, preprocessing, max_pixels=max_pixels)
    return caught.value.status, caught.value.code, str(caught.value)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


class TestFormats:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("PNG", {}),
            ("JPEG", {}),
            ("JPEG", {"progressive": True, "quality": 60}),
            ("JPEG", {"subsampling": 2, "comment": b"a comment", "dpi": (72, 72)}),
            ("WEBP", {"lossless": True}),
            ("WEBP", {"quality": 70}),
        ],
    )
    def test_pixels_are_those_that_pillow_reads(self, kind: str, options: dict[str, Any]) -> None:
        data = file_of(noise(), kind, **options)
        with Image.open(io.BytesIO(data)) as image:
            assert same(decoded(data), image.convert("RGB"))

    def test_a_phones_file_of_several_jpegs_is_its_first_picture(self) -> None:
        first = noise(seed=1)
        data = file_of(first, "MPO", save_all=True, append_images=[noise(seed=2), noise(seed=3)])
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, getattr(image, "n_frames", 1)) == ("MPO", 3)
            assert same(decoded(data), image.convert("RGB"))
        assert read_header(data).format == "JPEG"

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
    def test_modes_without_transparency_become_rgb(self, mode: str) -> None:
        image = noise().convert(mode)
        assert same(decoded(file_of(image)), image.convert("RGB"))

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_grey_of_few_bits_spans_black_to_white(self, bits: int) -> None:
        row = b"\0" + bytes([0b11110000] * 20)
        seen = Preprocessing(height=1, width=8 // bits, resizing="squash")
        image = decoded(declared(8 // bits, 1, bits=bits, colour=0, rows=row), seen)
        lit = 4 // bits
        assert image.tobytes() == b"\xff\xff\xff" * lit + b"\0\0\0" * (8 // bits - lit)

    @pytest.mark.parametrize("inverted", [False, True])
    def test_cmyk_becomes_rgb(self, inverted: bool) -> None:
        image = noise(mode="RGB").convert("CMYK")
        data = file_of(image, "JPEG", quality=95)
        if inverted:
            # Without Adobe's mark.
            start = data.index(b"\xff\xee")
            data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.mode == "CMYK"
            assert same(decoded(data), opened.convert("RGB"))

    def test_metadata_does_not_change_a_pixel(self) -> None:
        image, profile = noise(), b"an ICC profile" * 5_000
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", "x" * 100_000, zip=True)
        for kind, options in (("PNG", {"pnginfo": notes}), ("JPEG", {}), ("WEBP", {"lossless": True, "xmp": b"<x/>"})):
            plain = decoded(file_of(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
            assert same(decoded(file_of(image, kind, icc_profile=profile, **options)), plain)

    @pytest.mark.parametrize(
        "kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000", "PDF", "EPS", "PCX", "SGI"]
    )
    def test_other_formats_are_refused(self, kind: str) -> None:
        assert refusal(file_of(noise(), kind))[:2] == (415, "unsupported_image")

    @pytest.mark.parametrize(
        "data",
        [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"8BPS\0\1", b"\0\0\0 ftypheic", b"\0", b"RIFF\0\0\0\0WAVE"],
    )
    def test_files_of_no_accepted_kind_are_told_what_is(self, data: bytes) -> None:
        assert refusal(data) == (
            415,
            "unsupported_image",
            "this is no image of a kind that is accepted; send a JPEG, a PNG or a WebP, 8 bits a colour, one frame",
        )

    def test_nothing_is_no_image(self) -> None:
        assert "there is no image, nothing was sent; send a JPEG" in refusal(b"")[2]

    @pytest.mark.parametrize("mode", ["I;16", "RGB", "LA"])
    def test_16_bits_a_colour_are_refused_by_name(self, mode: str) -> None:
        # Pillow writes grey ones alone.
        data = {
            "I;16": file_of(Image.fromarray(numpy.arange(240, dtype=numpy.uint16).reshape(12, 20) * 256)),
            "RGB": declared(2, 1, bits=16, colour=2, rows=bytes(13)),
            "LA": declared(2, 1, bits=16, colour=4, rows=bytes(9)),
        }[mode]
        assert refusal(data)[0] == 415
        assert "the PNG has 16 bits a colour; send" in refusal(data)[2]

    def test_a_jpeg_of_12_bits_is_refused_by_name(self) -> None:
        data = bytearray(file_of(noise(), "JPEG"))
        data[data.index(b"\xff\xc0") + 4] = 12
        assert "the JPEG has 12 bits a colour and 3 colours; send" in refusal(bytes(data))[2]

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_animations_are_refused_and_a_single_frame_is_not(self, kind: str) -> None:
        frames = [noise(seed=seed) for seed in (1, 2, 3)]
        animated = file_of(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
        status, code, message = refusal(animated)
        assert (status, code) == (415, "unsupported_image")
        assert "is animated; send" in message
        one = file_of(frames[0], kind, save_all=True, append_images=[], lossless=True)
        assert same(decoded(one), frames[0])


class TestTransparency:
    def blended(self, image: Image.Image) -> numpy.ndarray[Any, Any]:
        rgba = numpy.asarray(image.convert("RGBA")).astype(float)
        share = rgba[..., 3:] / 255
        return rgba[..., :3] * share + 255 * (1 - share)

    @pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP")])
    def test_what_is_transparent_shows_white(self, mode: str, kind: str) -> None:
        image = noise(mode=mode)
        found = numpy.asarray(
            decoded(file_of(image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
        )
        assert numpy.abs(found - self.blended(image)).max() <= 1

    def test_a_colour_that_stands_for_transparency_shows_white(self) -> None:
        red, blue = (255, 0, 0), (0, 0, 255)
        image = Image.new("RGB", (20, 12), red)
        image.paste(blue, (0, 0, 10, 12))
        assert decoded(file_of(image, transparency=red)).getpixel((15, 5)) == (255, 255, 255)
        assert decoded(file_of(image, transparency=red)).getpixel((5, 5)) == blue
        assert decoded(file_of(Image.new("L", (20, 12), 7), transparency=7)).getpixel((5, 5)) == (255, 255, 255)
        assert decoded(file_of(Image.new("1", (20, 12), 0), transparency=0)).getpixel((5, 5)) == (255, 255, 255)

    def test_a_palette_with_transparency_shows_white(self) -> None:
        image = Image.new("P", (20, 12), 1)
        image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
        image.paste(2, (0, 0, 10, 12))
        found = decoded(file_of(image, transparency=bytes([255, 0, 128])))
        assert found.getpixel((15, 5)) == (255, 255, 255)
        assert found.getpixel((5, 5)) == (127, 127, 255)


class TestOrientation:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_are_turned_as_pillow_turns_them(self, kind: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x010F], exif[0x0112] = "a camera", orientation
        data = file_of(smooth(30, 18), kind, exif=exif)
        seen = Preprocessing(height=16, width=16, crop_share=0.8)
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        assert same(decoded(data, seen), decoded(file_of(upright), seen))

    @pytest.mark.parametrize(
        "exif",
        [
            b"",
            b"II",
            b"II*\0\xff\xff\xff\xff",
            b"MM\0*\0\0\0\x08",
            b"II*\0\x08\0\0\0\xff\xff",
            # An orientation of 9, of no number, and one whose entry is cut off.
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0",
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0\x06\0\0\0",
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
            b"garbage" * 2_000,
        ],
    )
    def test_exif_that_cannot_be_read_is_passed_over_in_silence(
        self, exif: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        image = noise()
        for kind in ("JPEG", "PNG", "WEBP"):
            data = file_of(image, kind, exif=b"Exif\0\0" + exif)
            assert same(decoded(data), decoded(file_of(image, kind)))
        assert capsys.readouterr() == ("", "")


class TestResizing:
    SIZES = ((300, 200), (200, 300), (64, 64), (64, 65), (65, 64), (33, 100), (7, 9), (640, 481), (1, 5), (63, 64))

    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("crop_share", [1.0, 0.95, 0.875, 0.9])
    def test_the_pixels_are_those_of_torchvision(self, interpolation: Any, crop_share: float) -> None:
        # Imported here, since that takes seconds, and no other test needs it.
        from torchvision import transforms

        seen = Preprocessing(height=64, width=64, interpolation=interpolation, crop_share=crop_share)
        scaled = int(64 / crop_share)
        mode = transforms.InterpolationMode(interpolation)
        shorter = transforms.Compose([transforms.Resize(scaled, mode), transforms.CenterCrop(64)])
        squashed = transforms.Compose([transforms.Resize((scaled, scaled), mode), transforms.CenterCrop(64)])
        for size in self.SIZES:
            image = smooth(*size)
            data = file_of(image)
            assert same(decoded(data, seen), shorter(image)), size
            assert same(decoded(data, dataclasses.replace(seen, resizing="squash")), squashed(image)), size

    @pytest.mark.parametrize("shape", [(48, 48), (48, 80), (81, 47)])
    @pytest.mark.parametrize("crop_mode", ["center", "squash"])
    def test_the_pixels_are_those_of_timms_evaluation(self, shape: tuple[int, int], crop_mode: str) -> None:
        from timm.data import create_transform

        height, width = shape
        evaluation = create_transform(
            (3, height, width),
            interpolation="bicubic",
            crop_pct=0.9,
            crop_mode=crop_mode,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            normalize=False,
        )
        seen = Preprocessing(
            height=height,
            width=width,
            crop_share=0.9,
            resizing="squash" if crop_mode == "squash" else "shorter_side",
        )
        for size in self.SIZES:
            image = smooth(*size)
            expected = evaluation(image).numpy().transpose(1, 2, 0)
            assert numpy.array_equal(numpy.asarray(decoded(file_of(image), seen)), expected), size

    def test_a_picture_of_the_networks_size_stays_as_it_is(self) -> None:
        image = noise()
        assert same(decoded(file_of(image), Preprocessing(height=12, width=20)), image)

    def test_a_mirror_image_has_left_and_right_exchanged(self) -> None:
        image = noise()
        found = mirrored(decode(file_of(image), AS_IT_IS, max_pixels=LIMIT), AS_IT_IS)
        assert found == ImageOps.mirror(image).tobytes()


class TestLimits:
    def test_the_size_is_looked_at_before_anything_is_decoded(self) -> None:
        assert refusal(declared(20_000, 20_000)) == (
            413,
            "image_too_large",
            "the image has 20000x20000 pixels, the limit is 1000000 together; send a smaller one",
        )
        lossy, extended = file_of(noise(), "WEBP"), file_of(noise(mode="RGBA"), "WEBP", exif=b"Exif\0\0II")
        lossy = lossy[:26] + struct.pack("<HH", 16_383, 16_383) + lossy[30:]
        extended = extended[:24] + b"\xff\xff\xff" * 2 + extended[30:]
        jpeg = bytearray(file_of(noise(), "JPEG"))
        place = jpeg.index(b"\xff\xc0") + 5
        jpeg[place : place + 4] = b"\xff\xff\xff\xff"
        for data in (lossy, extended, bytes(jpeg)):
            assert refusal(data)[1] == "image_too_large"
        assert decode(declared(1_000, 1_000, rows=bytes(3_001_000)), AS_IT_IS, max_pixels=LIMIT)

    @pytest.mark.parametrize(("width", "height"), [(1, 16_000_000), (16_000_000, 1)])
    @pytest.mark.parametrize("resizing", ["shorter_side", "squash"])
    def test_a_picture_that_would_explode_while_it_is_resized_is_refused(
        self, width: int, height: int, resizing: Any
    ) -> None:
        seen = Preprocessing(height=224, width=224, resizing=resizing)
        status, code, message = refusal(declared(width, height, colour=0), seen, max_pixels=2**24)
        assert (status, code) == (413, "image_too_large")
        assert f"the image is {width} pixels wide and {height} high, and resizing it would take more than" in message

    def test_a_turned_picture_is_measured_as_it_will_be_resized(self) -> None:
        seen = Preprocessing(height=10, width=100, resizing="squash")
        exif = Image.Exif()
        exif[0x0112] = 6
        upright, turned = noise(100, 600), file_of(noise(100, 600), exif=exif)
        assert decoded(file_of(upright), seen, max_pixels=60_000)
        # 600 wide and 100 high: nothing grows either way.
        assert decoded(turned, seen, max_pixels=60_000)

    @pytest.mark.parametrize(("width", "height"), [(16, 1), (1, 16), (20, 300)])
    def test_a_narrow_picture_is_accepted_whatever_the_limit(self, width: int, height: int) -> None:
        seen = Preprocessing(height=64, width=64)
        assert decoded(file_of(noise(width, height)), seen, max_pixels=width * height)

    def test_a_jpeg_of_many_scans_is_refused(self) -> None:
        data = file_of(noise(), "JPEG", progressive=True)
        last = data[data.rindex(b"\xff\xda") : -2]
        assert decoded(data[:-2] + last * 80 + b"\xff\xd9")
        assert "the JPEG has more than 100 scans; send" in refusal(data[:-2] + last * 100 + b"\xff\xd9")[2]

    def test_what_a_phone_puts_behind_a_jpeg_is_no_part_of_it(self) -> None:
        # A film of some megabytes holds the bytes of a marker a hundred times.
        data = file_of(noise(), "JPEG", progressive=True)
        assert read_header(data + b"\xff\xda\0\2" * 200).encoded == read_header(data).encoded
        assert same(decoded(data + b"\xff\xda\0\2" * 200), decoded(data))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_a_file_in_tiny_parts_is_refused(self, kind: str) -> None:
        data = file_of(noise(), kind, **({"exif": b"Exif\0\0II"} if kind == "WEBP" else {}))
        part, after = {"JPEG": (b"\xff\xfe\0\2", 2), "PNG": (chunk(b"teXt", b""), 33), "WEBP": (b"none\0\0\0\0", 30)}[
            kind
        ]

        def stuffed(count: int) -> bytes:
            stuffed = data[:after] + part * count + data[after:]
            return stuffed[:4] + struct.pack("<I", len(stuffed) - 8) + stuffed[8:] if kind == "WEBP" else stuffed

        assert same(decoded(stuffed(1_000)), decoded(data))
        assert "the image has more than 50000 parts; send" in refusal(stuffed(60_000))[2]

    def test_pillows_limits_are_neither_asked_nor_changed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 10)
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", "x" * 1_000, zip=True)
        assert same(decoded(file_of(noise(), pnginfo=notes)), noise())
        assert (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK) == (10, 10)

    def test_a_comment_that_inflates_to_gigabytes_is_never_inflated(self) -> None:
        bomb = zlib.compress(bytes(50_000_000))
        data = file_of(noise())
        for name in (b"zTXt", b"iCCP"):
            assert same(decoded(data[:33] + chunk(name, b"x\0\0" + bomb) + data[33:]), noise())

    def test_rows_beyond_the_declared_size_are_not_inflated(self) -> None:
        data = declared(20, 12, rows=bytes(61 * 12) + bytes(50_000_000))
        assert decoded(data).tobytes() == bytes(720)


class TestDamage:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_a_file_that_ends_too_early_is_damaged(self, kind: str) -> None:
        data = file_of(noise(40, 30), kind)
        for end in (13, len(data) // 3, len(data) // 2, len(data) - 30, len(data) - 2):
            status, code, message = refusal(data[:end])
            assert (status, code) == (422, "damaged_image"), end
            assert message.startswith("the image is damaged: ")
            assert message.endswith("; send the whole file")

    def test_a_flipped_bit_of_a_png_is_found(self) -> None:
        data = bytearray(file_of(noise()))
        data[data.index(b"IDAT") + 30] ^= 4
        assert refusal(bytes(data))[2] == "the image is damaged: the checksum of IDAT is wrong; send the whole file"

    @pytest.mark.parametrize(
        "data",
        [
            declared(0, 12),
            declared(20, 0),
            declared(20, 12, rows=b"too short"),
            declared(20, 12, colour=5, rows=bytes(1_000)),
            # A palette is spoken of, and is not there.
            declared(20, 12, colour=3, rows=bytes(21 * 12)),
            headers.PNG + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
            headers.PNG + chunk(b"IEND", b""),
            headers.PNG + chunk(b"IHDR", bytes(5)) + chunk(b"IEND", b""),
            b"\xff\xd8\xff\xd9",
            b"\xff\xd8\xff\xda\0\2" + bytes(100),
            b"\xff\xd8\xff\xe0\xff\xff" + bytes(100),
            b"\xff\xd8\xff\xc0\0\2" + b"\xff\xda\0\2" + bytes(100),
            b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0",
            b"RIFF\x04\0\0\0WEBP",
        ],
    )
    def test_a_file_that_contradicts_itself_is_damaged(self, data: bytes) -> None:
        assert refusal(data)[:2] == (422, "damaged_image")

    def test_a_canvas_of_another_size_than_its_picture_is_damaged(self) -> None:
        data = file_of(noise(mode="RGBA"), "WEBP", exif=b"Exif\0\0II")
        assert data[12:16] == b"VP8X"
        assert refusal(data[:24] + b"\x40\0\0" + data[27:])[1] == "damaged_image"


def test_decoding_in_threads_gives_the_same_pixels() -> None:
    files: Sequence[bytes] = [file_of(noise(seed=seed), kind) for seed in range(10) for kind in ("JPEG", "PNG", "WEBP")]
    alone = [decode(data, AS_IT_IS, max_pixels=LIMIT) for data in files]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda data: decode(data, AS_IT_IS, max_pixels=LIMIT), files)) == alone
