"""The pixels of all images of a corpus, decoded once, by the function that a server decodes with as well.

::

    files --> distinct ones --> threads: decode, digest --> one array of bytes [images, height, width, 3]

Files are found again by their content. What two files have in common that show the same picture is the digest of their
pixels before they are resized: a picture that is saved as PNG again, or with another EXIF, is the same.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from dragoman.errors import DataError, InvalidInput
from dragoman.tasks.image_classification.decoding import fit, upright
from dragoman.tasks.image_classification.headers import read_header
from dragoman.tasks.image_classification.options import Preprocessing
from train.data.memory import require_memory
from train.run.progress import Tell, silent

Pixels = npt.NDArray[np.uint8]
# Images that a thread decodes in one go: long enough that nobody waits for the pool, short enough to show progress.
CHUNK = 64
# Pillow lets go of Python's lock while it decodes; beyond that many threads, reading headers is what they wait for.
MOST_THREADS = 16


class DecodedImages:
    """The pixels of images by their files, for one preprocessing."""

    def __init__(self, preprocessing: Preprocessing, *, max_pixels: int, tell: Tell = silent) -> None:
        self.preprocessing, self._max_pixels, self._tell = preprocessing, max_pixels, tell
        self._pixels: dict[bytes, Pixels] = {}
        self._digests: dict[bytes, bytes] = {}
        self._flaws: dict[bytes, str] = {}

    def add(self, images: Iterable[bytes]) -> None:
        """Decode the files that are not yet known; raises DataError where memory would not hold them."""
        new = [image for image in dict.fromkeys(images) if image not in self._pixels and image not in self._flaws]
        if not new:
            return
        height, width = self.preprocessing.height, self.preprocessing.width
        needed = len(new) * height * width * 3
        require_memory(
            needed,
            f"{len(new):,} decoded images of {width}x{height} pixels",
            instead="set images.height and images.width lower, give fewer images, or take a machine with more memory",
        )
        what = f"decoding {len(new):,} images to {width}x{height} pixels, {needed / 1e6:,.0f} MB of memory"
        self._tell(what, 0.0)
        rows = np.empty((len(new), height, width, 3), dtype=np.uint8)

        def decode_rows(start: int) -> None:
            for row, image in enumerate(new[start : start + CHUNK], start=start):
                try:
                    self._digests[image] = self._decode(image, rows[row])
                except InvalidInput as error:
                    self._flaws[image] = error.code
                else:
                    self._pixels[image] = rows[row]

        starts = range(0, len(new), CHUNK)
        threads = min(MOST_THREADS, len(os.sched_getaffinity(0)), len(starts))
        pool = ThreadPoolExecutor(threads)
        try:
            for done, _ in enumerate(pool.map(decode_rows, starts), start=1):
                self._tell(what, done / len(starts))
        finally:
            # After an interrupt nobody needs the rest.
            pool.shutdown(cancel_futures=True)

    def pixels(self, images: Sequence[bytes]) -> list[Pixels]:
        """Give arrays of [height, width, 3], decoded now where they are not yet; each is a part of a larger array.

        Raises DataError for a file that is no image, which ``flaw`` tells before.
        """
        self.add(images)
        for number, image in enumerate(images, start=1):
            if image in self._flaws:
                raise DataError(f"image {number} cannot be decoded ({self._flaws[image]}); leave it out")
        return [self._pixels[image] for image in images]

    def flaw(self, image: bytes) -> str | None:
        """Tell why a file is no image that can be used, None for one that can."""
        self.add([image])
        return self._flaws.get(image)

    def same(self, image: bytes) -> bytes:
        """Return what all files have in common that show the same picture."""
        self.add([image])
        return self._digests[image]

    def _decode(self, data: bytes, row: Pixels) -> bytes:
        # The steps of dragoman.tasks.image_classification.decoding.decode, with the digest in their midst.
        image = upright(read_header(data), self.preprocessing, max_pixels=self._max_pixels)
        digest = hashlib.blake2b(f"{image.width}x{image.height}\0".encode() + image.tobytes(), digest_size=16)
        pixels = fit(image, self.preprocessing).tobytes()
        row[:] = np.frombuffer(pixels, dtype=np.uint8).reshape(row.shape)
        return digest.digest()
