"""Hostile files: decoding gives pixels or an InvalidInput with its code, in bounded time and memory."""

import io
import resource
import time
import tracemalloc
from collections import Counter

import pytest
from PIL import Image

from dragoman.errors import InvalidInput
from dragoman.tasks.image_classification.decoding import decode
from dragoman.tasks.image_classification.options import Preprocessing
from tests.hostile_images import MAX_PIXELS, hostile_files

COUNT = 2_000
SEEN = Preprocessing(height=24, width=24, crop_share=0.9)
CODES = {"unsupported_image": 415, "image_too_large": 413, "damaged_image": 422}


def outcome(data: bytes) -> bytes | InvalidInput:
    try:
        return decode(data, SEEN, max_pixels=MAX_PIXELS)
    except InvalidInput as error:
        return error


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_every_hostile_file_is_pixels_or_an_error_with_its_code(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (500, 500)).save(file, "WEBP")
    assert isinstance(outcome(file.getvalue()), bytes)
    found: Counter[str] = Counter()
    slowest, before = 0.0, peak_mb()
    files = list(hostile_files(14, COUNT))
    for data in files:
        started = time.thread_time()
        result = outcome(data)
        slowest = max(slowest, time.thread_time() - started)
        if isinstance(result, InvalidInput):
            assert result.status == CODES[result.code]
            assert str(result).isprintable()
        else:
            assert len(result) == 24 * 24 * 3
        found[getattr(result, "code", "pixels")] += 1
    assert len(files) == found.total() == COUNT
    # Each kind of outcome is met often, so the set tests what it says.
    assert all(found[kind] > 100 for kind in ("pixels", *CODES)), found
    # A file of 250,000 pixels takes 10 ms; 200 leave room for a machine that is busy.
    assert slowest < 0.2
    # 24 bytes a pixel are 6 MB; the rest is the allocator's.
    assert peak_mb() - before < 60
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_hostile_files_leave_nothing_behind() -> None:
    files = list(hostile_files(15, 100))

    def decode_all() -> int:
        return len([type(outcome(data)) for data in files])

    decode_all()
    tracemalloc.start()
    try:
        decode_all()
        before, _ = tracemalloc.get_traced_memory()
        decode_all()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
