import json
from pathlib import Path

import pytest

from dragoman.errors import ConfigError, DataError, OutputError
from train.run.history import append_history, read_history, rewind_history
from train.run.run_dir import RunDir, check_corpus, create, new_run_dir, write_outputs, write_samples


def test_a_run_without_a_directory_gets_a_name_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = new_run_dir(None, "toy-t5_tiny")
    assert first.path.parts[0] == "runs"
    assert first.path.name.endswith("toy-t5_tiny")
    first.path.mkdir(parents=True)
    assert new_run_dir(None, "toy-t5_tiny").path != first.path


def test_a_directory_that_holds_a_run_is_refused_with_the_way_to_resume_it(tmp_path: Path) -> None:
    create(new_run_dir(str(tmp_path / "run"), "x"), config_yaml="a: 1\n", corpus={}, assets={})
    with pytest.raises(ConfigError, match=r"holds a run already; go on with resume="):
        new_run_dir(str(tmp_path / "run"), "x")


def test_a_directory_with_anything_else_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    create(new_run_dir(str(tmp_path / "other"), "x"), config_yaml="a: 1\n", corpus={}, assets={"words.txt": b"v"})
    assert (tmp_path / "other" / "assets" / "words.txt").read_bytes() == b"v"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="not an empty directory"):
        new_run_dir(str(tmp_path / "full"), "x")


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a writable directory"):
        new_run_dir(str(tmp_path / "file" / "run"), "x")


def test_the_history_is_rewound_to_a_step_and_survives_a_torn_line(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for step in (1, 2, 3):
        append_history(run, {"step": step, "train/loss": 1 / step})
    with run.history.open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "tra')
    assert [point["step"] for point in read_history(run)] == [1, 2, 3]
    rewind_history(run, 2)
    append_history(run, {"step": 3, "train/loss": 0.5})
    assert [point["train/loss"] for point in read_history(run)] == [1.0, 0.5, 0.5]


def test_a_changed_corpus_is_refused(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    create(run, config_yaml="a: 1\n", corpus={"fingerprint": "sha256:aa"}, assets={})
    check_corpus(run, "sha256:aa")
    with pytest.raises(DataError, match=r"the corpus has changed since .* fingerprint sha256:bb, expected sha256:aa"):
        check_corpus(run, "sha256:bb")


def test_outputs_and_samples_of_any_task_are_written_as_text(tmp_path: Path) -> None:
    rows = [
        {"input": "a\tb\n", "reference": 7, "output": {"label": "ü", "score": 0.5}},
        {"input": b"\x89PNG", "reference": ["cat", "pet"], "output": None},
    ]
    run = RunDir(tmp_path)
    write_outputs(run, {"test": rows})
    write_samples(run, rows)
    lines = (run.outputs / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert lines == ['a b\t7\t{"label": "ü", "score": 0.5}', '4 bytes\t["cat", "pet"]\t']
    samples = json.loads(run.samples.read_text(encoding="utf-8"))
    assert samples[0] == {"input": "a\tb\n", "reference": "7", "output": '{"label": "ü", "score": 0.5}'}
    assert samples[1] == {"input": "4 bytes", "reference": '["cat", "pet"]', "output": ""}
