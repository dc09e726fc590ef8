"""A file answered line by line: its end when the engine fails, and its use of memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman import run_lines as module
from dragoman.errors import ConfigError, InferenceError
from dragoman.predictor import Predictor
from dragoman.run_lines import run_lines


@pytest.fixture
def predictor(tiny_bundle: Path, monkeypatch) -> Predictor:
    loaded = dragoman.load(tiny_bundle)
    monkeypatch.setattr(module, "load", lambda *_, **__: loaded)
    return loaded


def answer(folder: Path, lines: Sequence[str], **parameters: Any) -> Path:
    source, destination = folder / "in.txt", folder / "out.txt"
    source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run_lines(
        "bundle",
        source=str(source),
        destination=str(destination),
        engine="auto",
        device="auto",
        parameters=parameters,
        show_progress=False,
    )
    return destination


def test_lines_that_the_engine_failed_on_end_the_run_as_its_failure(predictor, tmp_path, monkeypatch, capsys):
    (bad,) = predictor.task.prepare("the umbrella").items
    decode = predictor.task.engine.decode
    example = predictor.task.prepare(predictor.task.example_item).items[0].ids

    def fragile(sources, *arguments, **options):
        if bad.ids in sources or example in sources:
            raise RuntimeError("CUDA error: device lost")
        return decode(sources, *arguments, **options)

    monkeypatch.setattr(predictor.task.engine, "decode", fragile)
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 1)
    with pytest.raises(InferenceError, match="1 lines could not be answered") as failed:
        answer(tmp_path, ["the red car", "the umbrella", "a dog"])
    assert failed.value.exit_code == 70
    assert "line 2: the engine failed" in capsys.readouterr().err
    lines = (tmp_path / "out.txt").read_text("utf-8").split("\n")
    assert [bool(line) for line in lines] == [True, False, True, False]


def test_an_engine_that_fails_again_and_again_ends_the_run_and_leaves_no_file(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor.task.engine, "decode", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 1)
    with pytest.raises(InferenceError, match="again and again, at line 3 by now"):
        answer(tmp_path, ["the red car"] * 100)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_answers_are_written_as_they_come_and_not_kept_in_memory(predictor, tmp_path, monkeypatch):
    sizes: list[int] = []
    run = predictor.run

    def watched(items):
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir() if path.name.startswith(".out.txt")))
        return run(items)

    monkeypatch.setattr(predictor, "run", watched)
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 1)
    destination = answer(tmp_path, ["the red car", "the station", "a dog"])
    assert sizes[0] == 0 < sizes[1] < sizes[2] < destination.stat().st_size


def test_the_line_itself_is_no_further_field(predictor, tmp_path):
    with pytest.raises(ConfigError, match="--set: q is the line itself"):
        answer(tmp_path, ["the red car"], q="another text")
