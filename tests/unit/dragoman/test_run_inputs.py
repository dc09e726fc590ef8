"""Lines and files answered as a batch: the end when the engine fails, the use of memory, and what is bad."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import dragoman
from deploy.conformance.corpus import picture
from dragoman import run_inputs as module
from dragoman.errors import ConfigError, DataError, InferenceError, InvalidInput
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


class TestFiles:
    @pytest.fixture
    def images(self, tiny_images: Path, monkeypatch) -> Predictor:
        monkeypatch.setattr(module, "load", lambda *_, **__: dragoman.load(tiny_images))
        return dragoman.load(tiny_images)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        for name, number in {"b.png": 1, "a/z.png": 2, "a/y.png": 3, ".thumbs/hidden.png": 4}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(picture(number, 20, 12))
        return folder

    def answer(self, *sources: Path, **options: Any) -> list[str]:
        destination = sources[0].parent / "out.txt"
        run_inputs(
            "bundle",
            sources=list(map(str, sources)),
            destination=str(destination),
            **{"engine": "auto", "device": "auto", "parameters": {}, "show_progress": False, **options},
        )
        return destination.read_text("utf-8").splitlines()

    def test_those_of_a_folder_are_answered_by_name_and_hidden_ones_left_out(self, images, folder):
        names = [folder / name for name in ("a/y.png", "a/z.png", "b.png")]
        found = images([name.read_bytes() for name in names])
        lines = [images.task.line(images.task.output(one.value)) for one in found]
        expected = [f"{name}\t{line}" for name, line in zip(names, lines, strict=True)]
        assert self.answer(folder) == expected
        assert self.answer(*names) == expected

    def test_json_holds_the_name_and_all_of_the_output(self, images, folder):
        lines = [
            json.loads(line) for line in self.answer(folder, as_json=True, parameters={"parameters": {"top_k": 2}})
        ]
        assert [line["file"] for line in lines] == [str(folder / name) for name in ("a/y.png", "a/z.png", "b.png")]
        assert {len(line["output"]) for line in lines} == {2}

    def test_a_bad_file_is_told_by_its_name_and_harms_no_other(self, images, folder, capsys, monkeypatch):
        good = self.answer(folder)
        (folder / "a" / "a.txt").write_text("no image")
        (folder / "c.png").write_bytes(picture(1, 20, 12)[:60])
        (folder / "d.png").write_bytes(bytes(images.task.limits.max_body_bytes + 1))
        (folder / "e.png").symlink_to("/proc/self/mem")
        monkeypatch.setattr(module, "FILES_AT_ONCE", 2)
        with pytest.raises(InvalidInput, match="4 files could not be answered") as failed:
            self.answer(folder)
        assert failed.value.exit_code == 65
        errors = dict(line.split(": ", 1) for line in capsys.readouterr().err.splitlines())
        names = [str(folder / name) for name in ("a/a.txt", "c.png", "d.png", "e.png")]
        assert list(errors) == names
        assert errors[names[1]].startswith("the image is damaged")
        assert "exceeds 8388608 bytes" in errors[names[2]]
        assert "cannot be read" in errors[names[3]]
        found = (folder.parent / "out.txt").read_text("utf-8").splitlines()
        assert [line for line in found if not line.endswith("\t")] == good
        assert found == sorted(found, key=lambda line: line.partition("\t")[0])

    def test_a_name_that_would_break_a_line_is_quoted(self, images, tmp_path):
        (tmp_path / "a\nb.png").write_bytes(picture(1, 20, 12))
        (line,) = self.answer(tmp_path / "a\nb.png")
        assert json.loads(line.partition("\t")[0]) == str(tmp_path / "a\nb.png")

    def test_what_does_not_exist_is_told(self, images, tmp_path):
        with pytest.raises(DataError, match=r"missing\.png: it does not exist"):
            self.answer(tmp_path / "missing.png")

    def test_standard_input_is_one_file(self, images, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(picture(1, 20, 12))))
        monkeypatch.chdir(tmp_path)
        run_inputs(
            "bundle",
            sources=[],
            destination="out.txt",
            engine="auto",
            device="auto",
            parameters={},
            show_progress=False,
        )
        assert Path("out.txt").read_text().startswith("standard input\t")


def test_a_text_has_one_source(predictor, tmp_path):
    with pytest.raises(ConfigError, match="reads one text, line by line, got 2"):
        TestFiles().answer(tmp_path / "a", tmp_path / "b")
