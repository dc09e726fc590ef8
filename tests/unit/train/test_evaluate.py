"""The test sets that ``python -m train.evaluate`` takes."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, DataError
from scoring.held_out import HeldOutItem, label, write_held_out
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


def test_a_test_set_is_given_once(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["--held-out", "a.parquet", "--test", "b"], ["--held-out", "a.parquet", "--reference", "b"], []):
        with pytest.raises(ConfigError, match="give a test set"):
            evaluate(monkeypatch, "--bundle", tiny_bundle, *arguments)


def test_two_files_and_a_held_out_set_of_the_same_items_score_the_same(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("The man sees the red car.", "Der Mann"), ("Our dog brings some bread.", "Unser Hund")]
    items = [HeldOutItem(id=str(row), input=one, reference=other) for row, (one, other) in enumerate(pairs)]
    write_held_out(tmp_path / "a.parquet", items)
    for index, name in enumerate(("a.en", "a.de")):
        (tmp_path / name).write_text("".join(f"{pair[index]}\n" for pair in pairs), encoding="utf-8")
    found = []
    for given in (
        ["--test", tmp_path / "a.parquet"],
        ["--held-out", tmp_path / "a.parquet"],
        ["--test", tmp_path / "a.en", "--reference", tmp_path / "a.de"],
        ["--source", tmp_path / "a.en", "--reference", tmp_path / "a.de"],
    ):
        evaluate(monkeypatch, "--bundle", tiny_bundle, "--json", *given)
        found.append([score["value"] for score in json.loads(capsys.readouterr().out)["scores"]])
    assert found[0] == found[1] == found[2] == found[3]


def test_baselines_of_the_same_items_stand_below_the_scores(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    items = [HeldOutItem(id="0", input="The man sees the red car.", reference="Der Mann")]
    write_held_out(tmp_path / "a.parquet", items)
    opened = open_bundle(tiny_bundle)
    known = dataclasses.replace(opened.manifest.scores[0], engine="first sentence", value=3.0, low=2.0, high=4.0)
    here = dataclasses.replace(known, test_set=label("toy", "test", items))
    manifest = dataclasses.replace(opened.manifest, baselines=(known, here))
    monkeypatch.setattr("train.evaluate.open_bundle", lambda path: Bundle(tiny_bundle, manifest))
    evaluate(monkeypatch, "--bundle", tiny_bundle, "--test", tmp_path / "a.parquet")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["chrF", "3.00", "BLEU", "BLEU-lc"]
    assert lines[2].endswith("3.00  [2.00, 4.00]  first sentence")
