import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import ConfigError, DataError
from tests.toy_images import COLOURS, toy_files, write_files
from tests.unit.train.tasks.test_image_folder import counts, read
from train.tasks.classification.tables import table_file
from train.tasks.image_classification.examples import read_examples

FILES = toy_files()
ROWS = [{"image": name, "label": name.partition("/")[0]} for name in FILES]
NUMBERS = {label: number for number, label in enumerate(sorted(COLOURS))}


def write_csv(path: Path, rows: Sequence[Mapping[str, object]] = ROWS, delimiter: str = ",") -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def write_parquet(path: Path, rows: Sequence[Mapping[str, object]], names: Sequence[str] | None = None) -> str:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([dict(row) for row in rows])
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path)
    return str(path)


def test_every_form_of_a_table_gives_the_same_images(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    write_csv(tmp_path / "x.csv", delimiter=";")
    write_csv(tmp_path / "x.tsv", delimiter="\t")
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    write_parquet(tmp_path / "x.parquet", [{**row, "image": FILES[row["image"]]} for row in ROWS])
    cells = [{**row, "image": {"bytes": FILES[row["image"]], "path": None}} for row in ROWS]
    write_parquet(tmp_path / "hub.parquet", cells)
    paths = [{**row, "image": {"bytes": None, "path": row["image"]}} for row in ROWS]
    write_parquet(tmp_path / "paths.parquet", paths)
    names = ("x.csv", "x.tsv", "x.jsonl", "x.parquet", "hub.parquet", "paths.parquet")
    first, *others = (read("image_table", path=str(tmp_path / name)) for name in names)
    assert others == [first] * 5
    assert counts(first) == {"train": 30, "validation": 3, "test": 3}
    assert set(first.train) < {(FILES[row["image"]], row["label"]) for row in ROWS}


def test_numbers_of_classes_get_the_names_that_a_parquet_file_of_the_hub_holds(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": FILES[row["image"]], "path": None}, "label": NUMBERS[row["label"]]} for row in ROWS]
    named = write_parquet(tmp_path / "named.parquet", rows, sorted(COLOURS))
    assert read_examples([Path(named)]) == [(FILES[row["image"]], row["label"]) for row in ROWS]
    plain = write_parquet(tmp_path / "plain.parquet", rows)
    assert {label for _, label in read("image_table", path=plain).train} == {"0", "1", "2"}


def test_paths_start_from_the_folder_of_the_table_or_from_another(tmp_path: Path) -> None:
    images = write_files(tmp_path / "images", FILES)
    table = write_csv(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"x\.csv line 2: cannot read the image .*blue/000\.png \(No such file.*data"):
        read("image_table", path=table)
    splits = read("image_table", path=table, images=str(images))
    assert counts(splits) == {"train": 30, "validation": 3, "test": 3}
    assert splits.places[splits.train[0]].startswith(f"{table} line ")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "red/../../secret.png"])
def test_a_path_that_leads_out_of_the_folder_is_refused_with_its_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    write_files(tmp_path / "x", FILES)
    table = write_csv(tmp_path / "x" / "x.csv", [*ROWS, {"image": path, "label": "red"}])
    with pytest.raises(DataError, match=r"x\.csv line 38: .* leads out of .*/x; write paths .*set data\.images"):
        read("image_table", path=table)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"image": " ", "label": "red"},
            r"line 1, column 'image' must hold the path of an image or its bytes, got ' ",
        ),
        (
            {"image": None, "label": "red"},
            r"must hold the path of an image or its bytes, got None; set data\.image",
        ),
        ({"image": {"path": None}, "label": "red"}, r"must hold the path of an image or its bytes, got None"),
        ({"image": 3, "label": "red"}, r"must hold the path of an image or its bytes, got 3"),
        ({"image": "a.png", "label": None}, r"line 1 has no label in column 'label'; give every image one"),
        (
            {"file": "a.png", "label": "x"},
            r"no column 'image'; it has file, label; set data\.image_column and data",
        ),
    ],
)
def test_a_row_without_an_image_or_a_label_is_told_with_its_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    write_files(tmp_path, {"a.png": b"x"})
    (tmp_path / "x.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read("image_table", path=str(tmp_path / "x.jsonl"))


def test_a_column_may_say_the_split_and_further_tables_are_taken_as_they_are(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    rows = [{**row, "part": "test" if row["image"].endswith("0.png") else "train"} for row in ROWS]
    table = write_csv(tmp_path / "x.csv", rows)
    assert counts(read("image_table", path=table, split_column="part")) == {"train": 27, "validation": 3, "test": 6}
    assert counts(read("image_table", path=table, test_path=table))["test"] == 36
    with pytest.raises(ConfigError, match=r"data\.validation_path and data\.test_path must be null"):
        read("image_table", path=table, split_column="part", test_path=table)


def test_a_test_set_is_one_table_whose_columns_may_be_named(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    table = Path(write_csv(tmp_path / "x.csv", [{"file": row["image"], "class": row["label"]} for row in ROWS]))
    assert read_examples([table], ["file", "class"]) == [(FILES[row["image"]], row["label"]) for row in ROWS]
    with pytest.raises(DataError, match=r"no column 'image'; it has file, class; set columns, INPUT and REFERENCE"):
        read_examples([table])
    with pytest.raises(ConfigError, match=r"test set of one table, folder or archive; got .*x\.csv as well"):
        read_examples([table, table])


def test_a_table_of_images_that_memory_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, FILES)
    table = write_csv(tmp_path / "x.csv")
    (tmp_path / "meminfo").write_text("MemAvailable: 1 kB", encoding="ascii")
    monkeypatch.setattr("train.data.memory.FREE", tmp_path / "meminfo")
    with pytest.raises(
        DataError, match=r"further images of .*x\.csv take 0\.3 GB of memory, .*; give fewer or smaller"
    ):
        read("image_table", path=table)


def test_images_in_parquet_are_not_held_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet

    rows = [{"image": bytes([row]) * 2**20, "label": str(row % 2)} for row in range(24)]
    path = tmp_path / "x.parquet"
    parquet_rows = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(parquet_rows, path, row_group_size=4, compression="none", use_dictionary=False)
    del parquet_rows
    monkeypatch.setattr("train.data.table.ROWS_AT_ONCE", 2)
    before = pyarrow.total_allocated_bytes()
    found = table_file(path).rows()
    assert [next(found).cells, next(found).cells] == rows[:2]
    assert pyarrow.total_allocated_bytes() - before < 24 * 2**20
