import json
import os
import stat
from pathlib import Path

import pytest

from dragoman import atomic
from dragoman.errors import OutputError


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path):
    target = tmp_path / "a.json"
    atomic.write_json(target, {"b": 1})
    atomic.write_json(target, {"b": 2, "a": "ü"})
    assert json.loads(target.read_text("utf-8")) == {"a": "ü", "b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_whose_block_fails_leaves_what_was_there(tmp_path: Path):
    (tmp_path / "a").write_text("before")
    with pytest.raises(RuntimeError, match="half-way"), atomic.file(tmp_path / "a") as opened:  # noqa: PT012
        opened.write(b"1")
        raise RuntimeError("half-way")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]


def test_a_directory_appears_only_when_its_block_ends_well(tmp_path: Path):
    with atomic.directory(tmp_path / "new") as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "x").read_text() == "1"


def test_a_directory_whose_block_fails_leaves_nothing(tmp_path: Path):
    with pytest.raises(RuntimeError, match="half-way"), atomic.directory(tmp_path / "new") as folder:  # noqa: PT012
        (folder / "x").write_text("1")
        raise RuntimeError("half-way")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_never_replaced(tmp_path: Path):
    with pytest.raises(OutputError, match="exists already"), atomic.directory(tmp_path):
        pass


def test_an_unwritable_place_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*file/sub"):
        atomic.write_text(tmp_path / "file" / "sub", "x")
    with pytest.raises(OutputError, match=r"cannot write .*file/sub"), atomic.directory(tmp_path / "file" / "sub"):
        pass


def test_the_error_is_named_where_not_even_the_temporary_name_can_be_looked_up(tmp_path: Path):
    # As on a read-only file system, where removing a file that was never made is an error of its own.
    with pytest.raises(OutputError, match=r"cannot write .*name too long"):
        atomic.write_text(tmp_path / ("x" * 250), "x")


def test_what_is_no_plain_file_is_never_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OutputError, match="no plain file"):
            atomic.check_writable(path)
    atomic.check_writable(tmp_path / "new")


def test_files_get_the_rights_that_the_umask_leaves_and_it_is_never_touched(tmp_path: Path, monkeypatch):
    before = os.umask(0o027)
    try:
        # It is the whole process's: a thread that makes a file meanwhile would get the wrong rights.
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask of the process was changed"))
        atomic.write_text(tmp_path / "file", "x")
        with atomic.directory(tmp_path / "folder"):
            pass
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder")]
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert modes == [0o640, 0o750]
