"""A file answered line by line: its end when the engine fails, and its use of memory."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman import run_inputs as module
from dragoman.errors import ConfigError, InferenceError, InvalidInput
from dragoman.predictor import Predictor
from dragoman.run_inputs import run_inputs


@pytest.fixture
def predictor(tiny_bundle: Path, monkeypatch) -> Predictor:
    loaded = dragoman.load(tiny_bundle)
    monkeypatch.setattr(module, "load", lambda *_, **__: loaded)
    return loaded


def answer(folder: Path, lines: Sequence[str], *, as_json: bool = False, **parameters: Any) -> Path:
    source, destination = folder / "in.txt", folder / "out.txt"
    source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run_inputs(
        "bundle",
        sources=[str(source)],
        destination=str(destination),
        engine="auto",
        device="auto",
        parameters=parameters,
        show_progress=False,
        as_json=as_json,
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


@pytest.fixture
def classifier(tiny_classifier: Path, monkeypatch) -> Predictor:
    loaded = dragoman.load(tiny_classifier)
    monkeypatch.setattr(module, "load", lambda *_, **__: loaded)
    return loaded


def test_a_label_is_written_with_its_probability_behind_a_tab(classifier, tmp_path):
    (expected,) = classifier(["the red car"])
    lines = answer(tmp_path, ["the red car", "", "a dog"]).read_text("utf-8").split("\n")
    assert lines[0] == f"{expected.value.label}\t{expected.value.score:.4f}"
    assert lines[1] == ""
    assert re.fullmatch(r"\w+\t0\.\d{4}", lines[2])


def test_json_holds_all_of_an_output_and_null_where_there_is_none(classifier, tmp_path, capsys):
    (expected,) = classifier(["the red car"])
    with pytest.raises(InvalidInput, match="1 lines could not be answered"):
        answer(tmp_path, ["the red car", "", "a" * 150_001], as_json=True)
    assert "line 3: inputs has 150001 characters" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "out.txt").read_text("utf-8").splitlines()]
    assert lines == [dict(expected.value.scores), None, None]


def test_parameters_of_the_request_shape_the_output(classifier, tmp_path):
    (found,) = answer(tmp_path, ["the red car"], as_json=True, parameters={"top_k": 2}).read_text("utf-8").splitlines()
    assert len(json.loads(found)) == 2


def test_a_text_is_a_line_of_json_where_json_is_asked_for(predictor, tmp_path):
    (expected,) = predictor(["the red car"])
    found = answer(tmp_path, ["the red car"], as_json=True).read_text("utf-8")
    assert found == json.dumps(expected.value.text, ensure_ascii=False) + "\n"
