import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragoman.errors import ConfigError, DataError
from dragoman.strict import parse
from tests.conftest import ROOT
from train.data.corpus import Splits
from train.tasks.text_classification.data_kinds import data_settings
from train.tasks.text_classification.examples import LabelledText
from train.tasks.text_classification.examples import read_examples as read_table


def read(name: str, **settings: Any) -> Splits:
    """Read a corpus as ``configs/data`` has it, with some settings of one's own."""
    values = yaml.safe_load((ROOT / "configs" / "data" / f"{name}.yaml").read_text(encoding="utf-8")) | settings
    parsed = parse(values, data_settings(values["kind"]))
    assert parsed.problems == []
    splits: Splits = parsed.value.read()
    return splits


def read_examples(path: Path, text_column: str | tuple[str, ...] = "text") -> list[LabelledText]:
    """Read a table whose labels stand in the column of that name."""
    return read_table(path, text_column, "label", settings="columns, INPUT and REFERENCE")


def csv_of(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def counts(splits: Splits) -> list[int]:
    return [len(examples) for _, examples in splits.items()]


def test_r8_keeps_its_test_set_and_holds_out_a_tenth_of_every_class(shared_data: Path) -> None:
    splits = read("r8", path=str(shared_data / "r8" / "r8.csv"))
    train, validation, test = (Counter(label for _, label in examples) for _, examples in splits.items())
    assert (test.total(), test["earn"], test["grain"]) == (2189, 1083, 10)
    assert train.keys() == validation.keys() == test.keys()
    assert 500 <= validation.total() <= 549
    for label, count in validation.items():
        assert 0.07 <= count / (count + train[label]) <= 0.12
    assert splits.places[splits.train[0]].startswith(f"{shared_data / 'r8' / 'r8.csv'} line ")


def test_every_format_gives_the_same_texts(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"headline": f"text {number}", "topic": number % 2} for number in range(40)]
    lines = [f"{row['headline']}\t{row['topic']}" for row in rows]
    csv_of(tmp_path / "x.tsv", "headline\ttopic", *lines)
    csv_of(tmp_path / "x.csv", "headline;topic", *(line.replace("\t", ";") for line in lines))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    found = [
        read("labelled", path=str(tmp_path / name), text_column="headline", label_column="topic")
        for name in ("x.tsv", "x.csv", "x.jsonl.gz", "x.parquet")
    ]
    assert found[0] == found[1] == found[2] == found[3]
    assert counts(found[0]) == [32, 4, 4]
    assert {label for _, label in found[0].train} == {"0", "1"}


def test_a_format_and_a_delimiter_may_be_named(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "x.txt", "text\tlabel", *(f'"a ""{number}"""\tb' for number in range(20)))
    with pytest.raises(ConfigError, match=r"x\.txt does not show its format: .*; set data\.format"):
        read("labelled", path=path)
    for delimiter in ("tab", "\\t", "\t", None):
        assert ('a "3"', "b") in read("labelled", path=path, format="csv", delimiter=delimiter).train
    with pytest.raises(ConfigError, match=r"data\.delimiter must be one sign, such as ';', or tab, got ', '"):
        read("labelled", path=path, format="csv", delimiter=", ")


def test_the_texts_of_several_columns_are_joined_by_a_blank_line(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "x.csv", "title,body,label", "A title,A body,x", ",No title,y", "Title only, ,y")
    columns = ("title", "body")
    assert [text for text, _ in read_examples(Path(path), columns)] == ["A title\n\nA body", "No title", "Title only"]
    splits = read("labelled", path=path, text_column=["title", "body"], validation_path=path, test_path=path)
    assert list(splits.train) == read_examples(Path(path), columns)


def test_missing_columns_are_told_with_those_there_are_and_what_to_set(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "articles.csv", "title,body,category", "a,b,c")
    with pytest.raises(DataError, match=r"no column 'text'; it has title, body, category; set data\.text_column and"):
        read("labelled", path=path)
    with pytest.raises(DataError, match=r"no column 'label'; it has title, body, category; .* and data\.label_column"):
        read("labelled", path=path, text_column="body")


def test_labels_lose_outer_white_space_and_numbers_become_text(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "x", "label": label}) for label in (" a b ", 3, 0, 1.5)]
    path = csv_of(tmp_path / "x.jsonl", *lines)
    assert [label for _, label in read_examples(Path(path))] == ["a b", "3", "0", "1.5"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x", "label": " "}, r"x\.jsonl line 2 has no label in column 'label'; give every text one, or"),
        ({"text": "x", "label": None}, r"x\.jsonl line 2 has no label"),
        ({"text": "x", "label": float("nan")}, r"x\.jsonl line 2 has no label"),
        ({"text": "x", "label": ["a"]}, r"x\.jsonl line 2, column 'label' must hold a label .*, got \['a'\]"),
        ({"text": 7, "label": "a"}, r"x\.jsonl line 2, column 'text' must hold text, got 7"),
    ],
)
def test_a_row_without_a_label_or_a_text_is_told_with_its_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = csv_of(tmp_path / "x.jsonl", json.dumps({"text": "x", "label": "a"}), json.dumps(row))
    with pytest.raises(DataError, match=message):
        read_examples(Path(path))


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    for lines in ([], ["text,label"]):
        with pytest.raises(DataError, match=r"x\.csv has no rows"):
            read_examples(Path(csv_of(tmp_path / "x.csv", *lines)))


def test_a_column_may_say_the_split_and_what_it_lacks_is_held_out(tmp_path: Path) -> None:
    rows = [
        f"{label} {number},{label},{split}" for split in ("Train", "TEST") for label in "ab" for number in range(30)
    ]
    path = csv_of(tmp_path / "x.csv", "text,label,part", *rows)
    splits = read("labelled", path=path, split_column="part")
    assert counts(splits) == [54, 6, 60]
    assert Counter(label for _, label in splits.validation) == {"a": 3, "b": 3}
    whole = csv_of(tmp_path / "y.csv", "text,label,part", *rows, "v,a,dev", "w,b,validation")
    assert read("labelled", path=whole, split_column="part").validation == [("v", "a"), ("w", "b")]


def test_a_split_that_nobody_knows_is_told_with_its_line(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "x.csv", "text,label,part", "t,a,train", "u,b,holdout")
    with pytest.raises(DataError, match=r"line 3, column 'part' must say one of train, .*, test, .*got 'holdout'"):
        read("labelled", path=path, split_column="part")
    with pytest.raises(DataError, match="no row for training: column 'part' never says train"):
        read("labelled", path=csv_of(tmp_path / "x.csv", "text,label,part", "t,a,test"), split_column="part")
    with pytest.raises(ConfigError, match=r"data\.validation_path and data\.test_path must be null"):
        read("labelled", path=path, split_column="part", test_path=path)


def test_files_for_validation_and_test_are_taken_as_they_are(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "x.csv", "text,label", *(f"{number},{number % 2}" for number in range(20)))
    test = csv_of(tmp_path / "t.jsonl", json.dumps({"text": "t", "label": 1}))
    splits = read("labelled", path=path, test_path=test)
    assert splits.tests == {"test": [("t", "1")]}
    assert counts(splits) == [18, 2, 1]
