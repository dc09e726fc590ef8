from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from scoring.held_out import HeldOutError, HeldOutItem, items_digest, label, read_held_out, write_held_out

TEXTS = [
    HeldOutItem(id="1", input="Hello,\tyou\u2028there ", reference="Hallo  \n Welt"),
    HeldOutItem(id="2", input='"quoted"', reference="„zitiert“"),
    HeldOutItem(id="3", input="", reference="leer"),
]
BYTES = [
    HeldOutItem(id="a", input=b"\x89PNG\x00", reference=3),
    HeldOutItem(id="b", input=b"", reference={"b": [1.5, None], "a": "x"}),
]


@pytest.mark.parametrize("items", [TEXTS, BYTES, []])
def test_items_come_back_to_the_character_and_the_byte(tmp_path: Path, items: list[HeldOutItem]) -> None:
    write_held_out(tmp_path / "test.parquet", items)
    assert read_held_out(tmp_path / "test.parquet") == items
    assert [path.name for path in tmp_path.iterdir()] == ["test.parquet"]


def test_the_same_items_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_held_out(tmp_path / name, TEXTS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_set_of_large_files_is_written_and_read_part_by_part(tmp_path: Path) -> None:
    photos = [HeldOutItem(id=str(row), input=bytes([row]) * (24 * 2**20), reference="cat") for row in range(5)]
    before = pyarrow.default_memory_pool().bytes_allocated()
    write_held_out(tmp_path / "test.parquet", photos)
    assert parquet.ParquetFile(tmp_path / "test.parquet").num_row_groups == 3
    assert read_held_out(tmp_path / "test.parquet") == photos
    assert pyarrow.default_memory_pool().bytes_allocated() - before < 24 * 2**20


def test_equal_labels_mean_equal_content() -> None:
    name = label("toy", "test", TEXTS)
    assert name.startswith("toy/test@")
    assert len(name) == len("toy/test@") + 8
    moved = [HeldOutItem(id="1", input="Hello,\tyou\u2028there H", reference="allo  \n Welt"), *TEXTS[1:]]
    assert len({name, label("toy", "test", moved), label("toy", "test", TEXTS[::-1])}) == 3
    renamed = [HeldOutItem(id=f"row {item.id}", input=item.input, reference=item.reference) for item in TEXTS]
    assert label("toy", "test", renamed) == name


def test_text_is_not_bytes_and_a_number_is_not_its_digits() -> None:
    variants = [("x", "1"), (b"x", "1"), ("x", 1), ("x", [1])]
    items = [HeldOutItem(id="1", input=value, reference=reference) for value, reference in variants]
    assert len({items_digest([item]) for item in items}) == 4


def test_text_and_bytes_in_one_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HeldOutError, match="inputs must all be text or all be bytes"):
        write_held_out(tmp_path / "test.parquet", [TEXTS[0], BYTES[0]])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["1"], "input": ["x"]}, r"has the columns id \(string\), input \(string\); a held-out set has"),
        ({"id": ["1"], "input": [3], "reference": ["1"]}, r"input \(int64\)"),
        ({"id": ["1", "2"], "input": ["x", "y"], "reference": ["1", "{"]}, "row 2 of .* is no held-out item"),
        ({"id": ["1", "2"], "input": ["x", None], "reference": ["1", "2"]}, "row 2 of .*: a cell is empty"),
    ],
)
def test_a_table_that_is_no_held_out_set_is_told(tmp_path: Path, columns: dict[str, list], message: str) -> None:
    parquet.write_table(pyarrow.table(columns), tmp_path / "test.parquet")
    with pytest.raises(HeldOutError, match=message):
        read_held_out(tmp_path / "test.parquet")


def test_the_large_types_that_other_programs_write_are_read_as_well(tmp_path: Path) -> None:
    for items, kind in ((TEXTS, pyarrow.large_string()), (BYTES, pyarrow.large_binary())):
        write_held_out(tmp_path / "ours.parquet", items)
        ours = parquet.read_table(tmp_path / "ours.parquet")
        large = {"id": pyarrow.large_string(), "input": kind, "reference": pyarrow.large_string()}
        parquet.write_table(ours.cast(pyarrow.schema(large)), tmp_path / "large.parquet")
        assert read_held_out(tmp_path / "large.parquet") == items


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeldOutError, match=r"cannot read .*none\.parquet"):
        read_held_out(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("plain")
    with pytest.raises(HeldOutError, match=r"cannot read .*text\.parquet"):
        read_held_out(tmp_path / "text.parquet")
