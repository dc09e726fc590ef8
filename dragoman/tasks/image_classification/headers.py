"""The headers of image files: read before anything is decoded, with what a decoder need not see taken out.

Pillow reads headers too, but not without side effects: it inflates comments and colour profiles, warns of large images
and of odd EXIF on standard error, and allocates memory for a whole WebP. Here a file is a sequence of parts, each with
a name and a length; the few that matter are looked at, and nothing is allocated by what a file declares.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dragoman.errors import InvalidInput

Format = Literal["JPEG", "PNG", "WebP"]

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# A progressive JPEG goes over all of its pixels once for each scan, and a scan may take 40 bytes: without a bound, 8 MB
# would keep a core busy for minutes. Encoders write about ten.
MOST_SCANS = 100
# Thousands of times the parts of a photo, and tens of milliseconds; a part takes as few as four bytes.
MOST_PARTS = 50_000
# Of a JPEG: the start of a frame in every variant, but for tables (C4, CC) and an extension (C8).
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
# The last of the 0xff that may fill the space before a marker, and a marker that is followed by a length.
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
# Application data and comments, but for what says how colours are stored (JFIF's and Adobe's).
UNSEEN = (frozenset(range(0xE0, 0xF0)) - {0xE0, 0xEE}) | {0xFE}
NEEDED_BY_PNG = (b"IHDR", b"PLTE", b"tRNS")
ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file whose header was read: its pixels as they are stored, and the file without its metadata.

    ``orientation`` is EXIF's, 1 to 8: 1 is upright, and 5 to 8 swap width and height.
    """

    format: Format
    width: int
    height: int
    orientation: int
    encoded: bytes


def read_header(data: bytes) -> Picture:
    """Recognise an image file by its first bytes and read its header; raises InvalidInput."""
    if data.startswith(JPEG):
        return _read_jpeg(data)
    if data.startswith(PNG):
        return _read_png(data)
    if is_webp(data):
        return _read_webp(data)
    raise unsupported("this is no image of a kind that is accepted" if data else "there is no image, nothing was sent")


def is_image(data: bytes) -> bool:
    """Tell whether bytes begin as an image file does that is accepted."""
    return data.startswith((JPEG, PNG)) or is_webp(data)


def is_webp(data: bytes) -> bool:
    """Tell whether bytes begin as a WebP does."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def unsupported(what: str) -> InvalidInput:
    """Return the error for an image of a kind that is not accepted."""
    return InvalidInput(f"{what}; send a JPEG, a PNG or a WebP, 8 bits a colour, one frame", code="unsupported_image")


def damaged(what: str) -> InvalidInput:
    """Return the error for a file that ends too early or contradicts itself."""
    return InvalidInput(f"the image is damaged: {what}; send the whole file", code="damaged_image")


def too_many_parts() -> InvalidInput:
    """Return the error for a file in which the header is chopped into tiny parts, as no program writes it."""
    return unsupported(f"the image has more than {MOST_PARTS} parts")


def _read_jpeg(data: bytes) -> Picture:
    # A phone's MPO is a JPEG with further ones behind it; the first one is the picture.
    kept, frame, orientation, end = [data[:2]], b"", 1, 2
    for _ in range(MOST_PARTS):
        # What stands between two parts is passed over, as every reader does.
        found = MARKER.search(data, end)
        position = found.start() if found else len(data)
        if position + 4 > len(data):
            raise damaged("its header has no end")
        marker = data[position + 1]
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == END_OF_IMAGE or end < position + 4 or end > len(data):
            raise damaged("its header has no end")
        if marker == START_OF_SCAN:
            break
        content = data[position + 4 : end]
        if marker in FRAMES:
            frame = frame or content
        elif marker == 0xE1 and orientation == 1:
            orientation = _orientation(content)
        if marker not in UNSEEN:
            kept.append(data[position:end])
    else:
        raise too_many_parts()
    if len(frame) < 6:
        raise damaged("its header names no size")
    bits, height, width, colours = struct.unpack_from(">BHHB", frame)
    if bits != 8 or colours not in (1, 3, 4):
        raise unsupported(f"the JPEG has {bits} bits a colour and {colours} colours")
    kept.append(data[position : _end_of_jpeg(data, position)])
    return _picture("JPEG", width, height, orientation, b"".join(kept))


def _end_of_jpeg(data: bytes, position: int) -> int:
    """Return where the picture ends whose first scan is at a position: phones put further pictures and films behind.

    Raises InvalidInput for more scans than are accepted.
    """
    scans = 0
    for _ in range(MOST_PARTS):
        # Within a scan, 0xff is followed by a zero or stands before a marker.
        found = MARKER.search(data, position)
        if found is None:
            # Whether all pixels were there, the decoder tells.
            return len(data)
        position = found.end()
        marker = data[position - 1]
        if marker == END_OF_IMAGE:
            return position
        if marker == START_OF_SCAN:
            scans += 1
            if scans > MOST_SCANS:
                raise unsupported(f"the JPEG has more than {MOST_SCANS} scans")
        position += int.from_bytes(data[position : position + 2], "big")
    raise too_many_parts()


def _read_png(data: bytes) -> Picture:
    kept: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    orientation, ended = 1, False
    for number, (name, content, checksum) in enumerate(_png_chunks(data)):
        if number == MOST_PARTS:
            raise too_many_parts()
        if not kept and name != b"IHDR":
            raise damaged("it does not begin with its size")
        if name in NEEDED_BY_PNG or name == b"IDAT":
            if zlib.crc32(content, zlib.crc32(name)) != checksum:
                raise damaged(f"the checksum of {name.decode()} is wrong")
            if name == b"IDAT":
                pixels.append(content)
            else:
                kept.setdefault(name, content)
        elif name == b"acTL" and content[:4] != b"\0\0\0\1":
            raise unsupported("the PNG is animated")
        elif name == b"eXIf":
            orientation = _orientation(content)
        elif name == b"IEND":
            ended = True
            break
    if not ended:
        raise damaged("it ends too early")
    if len(kept[b"IHDR"]) != 13:
        raise damaged("its header has a wrong length")
    width, height, bits = struct.unpack_from(">IIB", kept[b"IHDR"])
    if bits == 16:
        raise unsupported("the PNG has 16 bits a colour")
    # One chunk of pixels, however many there were: a decoder in Python takes its time for each.
    chunks = [*kept.items(), (b"IDAT", b"".join(pixels)), (b"IEND", b"")]
    encoded = PNG + b"".join(
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")
        for name, content in chunks
    )
    return _picture("PNG", width, height, orientation, encoded)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    position = len(PNG)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            return
        checksum = int.from_bytes(data[end - 4 : end], "big")
        yield data[position + 4 : position + 8], data[position + 8 : end - 4], checksum
        position = end


def _read_webp(data: bytes) -> Picture:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise damaged("it ends too early")
    sizes: list[tuple[int, int]] = []
    orientation, position = 1, 12
    for _ in range(MOST_PARTS):
        if position + 8 > end:
            break
        name, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        content = data[position + 8 : min(position + 8 + length, end)]
        if name == b"VP8X" and length >= 10 and position == 12:
            if content[0] & 0x02:
                raise unsupported("the WebP is animated")
            sizes.append((_int24(content[4:7]) + 1, _int24(content[7:10]) + 1))
        elif name == b"ANMF":
            raise unsupported("the WebP is animated")
        elif name == b"VP8 " and content[3:6] == b"\x9d\x01\x2a" and len(content) >= 10:
            width, height = struct.unpack_from("<HH", content, 6)
            sizes.append((width & 0x3FFF, height & 0x3FFF))
        elif name == b"VP8L" and content[:1] == b"\x2f" and len(content) >= 5:
            (packed,) = struct.unpack_from("<I", content, 1)
            sizes.append(((packed & 0x3FFF) + 1, ((packed >> 14) & 0x3FFF) + 1))
        elif name == b"EXIF" and orientation == 1:
            orientation = _orientation(content)
        # Parts have even lengths.
        position += 8 + length + length % 2
    else:
        raise too_many_parts()
    if not sizes:
        raise damaged("its header names no size")
    # The canvas and the picture on it; where they differ, the decoder refuses the file.
    width, height = map(max, zip(*sizes, strict=True))
    return _picture("WebP", width, height, orientation, data[:end])


def _int24(three: bytes) -> int:
    return int.from_bytes(three, "little")


def _picture(kind: Format, width: int, height: int, orientation: int, encoded: bytes) -> Picture:
    if not (width and height):
        raise damaged(f"its header says {width}x{height} pixels")
    return Picture(format=kind, width=width, height=height, orientation=orientation, encoded=encoded)


def _orientation(exif: bytes) -> int:
    """Read the orientation from EXIF, that is a TIFF without pixels; 1 where there is none that can be read."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if tag == ORIENTATION:
            # 3 is a short integer, the type that the standard prescribes.
            return value if kind == 3 and 1 <= value <= 8 else 1
    return 1
