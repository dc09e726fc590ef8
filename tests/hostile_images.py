"""Hostile image files, for what decodes them and for what serves them."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy
from PIL import Image, PngImagePlugin

# A server of the tests should accept this many pixels, so that some files are beyond it and some just within.
MAX_PIXELS = 250_000
OTHER_FORMATS = ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000", "PDF", "EPS", "PCX", "SGI", "DDS"]
MAGICS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\xff\0\0\0WEBP",
    b"GIF89a",
    b"8BPS\0\1",
    b"%PDF-1.7",
    b"<svg",
    b"PK\3\4",
)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def good_files(chooser: random.Random) -> list[tuple[str, bytes]]:
    """Small files of every kind that is accepted, and in every way of storing it that Pillow writes."""
    pixels = numpy.random.default_rng(chooser.getrandbits(32)).integers(0, 256, (30, 40, 4), dtype=numpy.uint8)
    # Smooth in part, so that files are no longer than they must be.
    pixels[:, :20] = numpy.arange(30, dtype=numpy.uint8)[:, None, None]
    rgba = Image.fromarray(pixels)
    rgb = rgba.convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 500, zip=True)
    found = [
        ("JPEG", file_of(rgb, "JPEG", exif=exif)),
        ("JPEG", file_of(rgb, "JPEG", progressive=True, icc_profile=b"profile" * 20)),
        ("JPEG", file_of(rgb.convert("L"), "JPEG")),
        ("JPEG", file_of(rgb.convert("CMYK"), "JPEG")),
        ("JPEG", file_of(rgb, "MPO", save_all=True, append_images=[rgb])),
        ("WebP", file_of(rgb, "WEBP", exif=exif)),
        ("WebP", file_of(rgb, "WEBP", lossless=True)),
        ("WebP", file_of(rgba, "WEBP", quality=50)),
        ("WebP", file_of(rgba, "WEBP", save_all=True, append_images=[rgba.rotate(90)])),
        ("PNG", file_of(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)])),
        ("PNG", file_of(rgb, "PNG", exif=exif, pnginfo=notes, icc_profile=b"profile" * 20)),
        ("PNG", file_of(Image.fromarray(numpy.zeros((9, 9), dtype=numpy.uint16)), "PNG")),
    ]
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = rgb.convert("P") if mode == "P" else rgba.convert(mode)
        found.append(("PNG", file_of(image, "PNG")))
    return found


def truncated(chooser: random.Random, _: str, data: bytes) -> bytes:
    """Cut anywhere, near the start and the end more often."""
    end = chooser.choice([chooser.randrange(len(data)), chooser.randrange(60), len(data) - chooser.randrange(1, 30)])
    return data[: max(0, end)]


def flipped(chooser: random.Random, _: str, data: bytes) -> bytes:
    """Flip a few bits anywhere, in the header more often."""
    changed = bytearray(data)
    for _number in range(chooser.choice([1, 2, 8, 40])):
        changed[chooser.randrange(min(len(data), chooser.choice([60, 300, len(data)])))] ^= 1 << chooser.randrange(8)
    return bytes(changed)


def spliced(chooser: random.Random, _: str, data: bytes) -> bytes:
    """Leave out, repeat, or overwrite a piece."""
    start = chooser.randrange(len(data))
    end = min(len(data), start + chooser.choice([1, 4, 50, 1_000]))
    filling = chooser.choice([b"", data[start:end] * 2, bytes(end - start), b"\xff" * (end - start)])
    return data[:start] + filling + data[end:]


def in_disguise(chooser: random.Random, _: str, data: bytes) -> bytes:
    """Put the first bytes of another format before a file, or before noise."""
    body = chooser.choice([data, data[8:], chooser.randbytes(500), b""])
    return chooser.choice(MAGICS) + body


def of_another_size(chooser: random.Random, kind: str, data: bytes) -> bytes:
    """Declare another size, with checksums that are right."""
    width, height = (chooser.choice([0, 1, 40, 300, 16_383, 65_535]) for _number in range(2))
    changed = bytearray(data)
    if kind == "PNG":
        width, height = (chooser.choice([size, size * 1_000, 2**31 - 1, 2**32 - 1]) % 2**32 for size in (width, height))
        header = struct.pack(">II", width, height) + data[24:29]
        return data[:8] + chunk(b"IHDR", header) + data[33:]
    if kind == "JPEG":
        place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        changed[place + 5 : place + 9] = struct.pack(">HH", height, width)
    elif data[12:16] == b"VP8X":
        changed[24:30] = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    else:
        changed[25:30] = chooser.randbytes(5)
    return bytes(changed)


def with_bad_exif(chooser: random.Random, kind: str, data: bytes) -> bytes:
    """Give a file EXIF that is noise, or points out of itself or at itself."""
    order = chooser.choice([b"II*\0", b"MM\0*", b"II\0\0"])
    exif = chooser.choice(
        [chooser.randbytes(2_000), order + chooser.randbytes(40), order + b"\x08\0\0\0" + b"\xff" * 900]
    )
    if kind == "PNG":
        return data[:33] + chunk(b"eXIf", exif) + data[33:]
    if kind == "JPEG":
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + data[2:]
    return data + b"EXIF" + struct.pack("<I", len(exif)) + exif


def bomb(chooser: random.Random, _: str, data: bytes) -> bytes:
    """Let a small file stand for much: pixels, comments, parts, scans, a header without an end."""
    size = chooser.choice([(499, 500), (100_000, 2), (2, 100_000), (100_000, 100_000), (1, 250_000)])
    rows = zlib.compress(bytes(chooser.choice([0, 1_000, 500_000])), 9)
    header = chunk(
        b"IHDR", struct.pack(">IIBBBBB", *size, *chooser.choice([(8, 2), (8, 6), (1, 0), (1, 3), (16, 6)]), 0, 0, 0)
    )
    interlaced = header[:-5] + b"\1"
    header = chooser.choice([header, interlaced + struct.pack(">I", zlib.crc32(interlaced[4:]))])
    note = chunk(chooser.choice([b"zTXt", b"iCCP"]), b"x\0\0" + zlib.compress(bytes(2_000_000), 9))
    notes = note * chooser.choice([0, 1, 20])
    return chooser.choice(
        [
            b"\x89PNG\r\n\x1a\n" + header + notes + chunk(b"IDAT", rows) + chunk(b"IEND", b""),
            b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") * 10_000,
            b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000 + data[2:],
            b"\xff\xd8\xff" + b"\xff" * 100_000,
            data + data[-200:] * 100,
            b"RIFF" + struct.pack("<I", 90_004) + b"WEBP" + b"none\0\0\0\0" * 11_250,
        ]
    )


ATTACKS: tuple[Callable[[random.Random, str, bytes], bytes], ...] = (
    truncated,
    flipped,
    spliced,
    in_disguise,
    of_another_size,
    with_bad_exif,
    bomb,
)


def hostile_files(seed: int, count: int) -> Iterator[bytes]:
    """Make files of every attack in turn, always the same ones from a seed; each is below 150 kB."""
    chooser = random.Random(seed)
    good = good_files(chooser)
    image = Image.new("RGB", (16, 16), "red")
    yield from (file_of(image, kind) for kind in OTHER_FORMATS)
    for number in range(count - len(OTHER_FORMATS)):
        data = ATTACKS[number % len(ATTACKS)](chooser, *chooser.choice(good))
        # Now and then twice hostile.
        yield flipped(chooser, "", data) if data and chooser.random() < 0.1 else data
