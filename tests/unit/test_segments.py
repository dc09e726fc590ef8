from pathlib import Path

import pytest

from dragoman.errors import DataError
from dragoman.segments import read_segments, split_label, write_segments

PAIRS = [("Hello,\tyou\u2028there ", "Hallo  \n Welt"), ('"quoted"', "„zitiert“"), ("", "leer")]


def test_segments_come_back_to_the_character(tmp_path: Path) -> None:
    write_segments(tmp_path / "test.jsonl", PAIRS)
    assert read_segments(tmp_path / "test.jsonl") == PAIRS


def test_equal_labels_mean_equal_pairs() -> None:
    label = split_label("toy", "test", PAIRS)
    assert label.startswith("toy/test@")
    moved = [("Hello,\tyou\u2028there H", "allo  \n Welt"), *PAIRS[1:]]
    assert len({label, split_label("toy", "test", moved), split_label("toy", "test", PAIRS[::-1])}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"source": "a", "reference": "b"}\n{"source": "a"}\n', ":2 is not"),
        ("plain\n", ":1 is not"),
        ("[1]\n", ":1 is not"),
        ('{"source": "a", "reference": 3}\n', ":1 holds something else than text"),
    ],
)
def test_a_line_that_is_no_segment_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "test.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        read_segments(tmp_path / "test.jsonl")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.jsonl"):
        read_segments(tmp_path / "none.jsonl")
