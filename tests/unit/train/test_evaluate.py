"""The test sets that ``python -m train.evaluate`` takes."""

import sys
from pathlib import Path

import pytest

from dragoman.errors import ConfigError, DataError
from scoring.held_out import write_held_out
from train.evaluate import main


def evaluate(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.evaluate", *map(str, arguments)])
    main()


def test_a_held_out_set_without_items_is_refused(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.parquet"
    write_held_out(empty, [])
    with pytest.raises(DataError, match=r"empty\.parquet holds no items"):
        evaluate(monkeypatch, "--bundle", tiny_bundle, "--held-out", empty)


def test_half_a_pair_of_files_is_no_test_set(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="give a test set"):
        evaluate(monkeypatch, "--bundle", tiny_bundle, "--source", "a.txt")
