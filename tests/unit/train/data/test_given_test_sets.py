"""The test sets that scoring and importing take."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from dragoman.errors import ConfigError, DataError
from scoring.held_out import HeldOutItem, write_held_out
from train.data.corpus import Example
from train.data.test_set import read_test_set
from train.tasks.translation.task import Translation


def by_task(files: Sequence[Path], columns: Sequence[str] | None) -> list[Example]:
    return [("read by the task", [str(file) for file in files])]


def test_a_held_out_set_is_known_by_its_columns_and_every_other_file_is_the_task_s(tmp_path: Path) -> None:
    held_out, table = tmp_path / "test.parquet", tmp_path / "table.parquet"
    write_held_out(held_out, [HeldOutItem(id="1", input="a", reference={"b": 1})])
    parquet.write_table(pyarrow.table({"text": ["a"], "label": ["b"]}), table)
    assert read_test_set([held_out], None, by_task) == [("a", {"b": 1})]
    for files in ([table], [Path("a.en"), Path("a.de")], [held_out, table]):
        assert read_test_set(files, None, by_task) == [("read by the task", [str(file) for file in files])]


def test_a_set_that_is_missing_or_has_no_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.parquet"):
        read_test_set([tmp_path / "none.parquet"], None, by_task)
    with pytest.raises(DataError, match=r"cannot read .*none\.en: it does not exist"):
        read_test_set([tmp_path / "none.en", tmp_path / "none.de"], None, Translation.read_files)
    with pytest.raises(DataError, match="holds no items"):
        read_test_set([tmp_path / "empty.csv"], None, lambda files, columns: [])


def test_translations_are_read_from_two_files_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "t.en").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "t.de").write_text("eins\nzwei\n", encoding="utf-8")
    files = [tmp_path / "t.en", tmp_path / "t.de"]
    assert read_test_set(files, None, Translation.read_files) == [("one", "eins"), ("two", "zwei")]
    with pytest.raises(ConfigError, match="give a test set of two files"):
        read_test_set(files[:1], None, Translation.read_files)


def test_translations_are_read_from_two_columns_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("id\tenglish\tgerman\n1\tone\teins\n", encoding="utf-8")
    assert read_test_set([table], ["english", "german"], Translation.read_files) == [("one", "eins")]
    with pytest.raises(ConfigError, match="of a table, say which columns"):
        read_test_set([table], None, Translation.read_files)
    with pytest.raises(DataError, match="has no column 'french'"):
        read_test_set([table], ["english", "french"], Translation.read_files)
