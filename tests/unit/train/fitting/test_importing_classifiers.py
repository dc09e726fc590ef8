"""Importing a text classifier that exists already: a tiny BERT with random weights."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import dragoman
import train.evaluate
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, DataError
from tests.tiny_classifier import LABELS, write_tiny_classifier
from train.config.imports import compose_import
from train.fitting.importing import import_model
from train.run.recorder import Unrecorded
from train.run.run_dir import RunDir, read_figures


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    """Write a model whose folder bears a name of its own."""
    folder = tmp_path_factory.mktemp("classifier")
    bundle = write_tiny_classifier(folder, toy_sentences)
    return Path(shutil.copytree(bundle / "model", folder / "My_News.v2"))


def written_table(path: Path, texts: list[str]) -> Path:
    rows = [f'"{text}",{LABELS[number % 3]}' for number, text in enumerate(texts)]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    return written_table(tmp_path_factory.mktemp("table") / "news.csv", toy_sentences[:24])


@pytest.fixture(scope="module")
def other_table(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    return written_table(tmp_path_factory.mktemp("table") / "more.csv", toy_sentences[24:48])


def run_import(run_dir: Path, model: Path, *settings: str, task: str = "text_classification") -> RunDir:
    fixed = [f"task={task}", f"model.path={model}", f"run_dir={run_dir}", "tracking.enabled=false"]
    windows = ["windows.tokens=48", "windows.overlap=12"] if task == "text_classification" else []
    assert import_model(compose_import([*fixed, *windows, *settings]), lambda facts: Unrecorded()) == 0
    return RunDir(run_dir)


@pytest.fixture(scope="module")
def imported(model: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return run_import(tmp_path_factory.mktemp("import") / "run", model, f"test={table}")


def changed(model: Path, folder: Path, **keys: Any) -> Path:
    """Copy a model with other keys in its configuration."""
    copy = Path(shutil.copytree(model, folder / "changed"))
    config = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, **keys}), encoding="utf-8")
    return copy


def test_the_bundle_has_the_classes_weights_and_name_of_the_model(imported: RunDir, model: Path) -> None:
    manifest = open_bundle(imported.bundle).manifest
    assert manifest.name == "text-classification-my-news-v2"
    assert manifest.options["labels"] == list(LABELS)
    assert manifest.provenance.imported
    assert manifest.provenance.base_model is not None
    assert manifest.provenance.base_model.name == "My_News.v2"
    theirs = model.parent / "bundle" / "engines" / "ct2-int8"
    for name in ("model.bin", "head.safetensors"):
        assert (imported.bundle / "engines" / "ct2-int8" / name).read_bytes() == (theirs / name).read_bytes()
    predictor = dragoman.load(imported.bundle)
    (outcome,) = predictor(["The man sees the red car today."])
    predictor.close()
    assert isinstance(outcome, dragoman.Result)


def test_a_table_scores_it_and_draws_its_pictures(imported: RunDir) -> None:
    scores = open_bundle(imported.bundle).manifest.scores
    assert [score.metric for score in scores] == ["macro-F1", "accuracy", "ECE"]
    assert {score.items for score in scores} == {24}
    assert {score.test_set.partition("@")[0] for score in scores} == {"news/test"}
    assert (imported.pictures / "confusion-test.png").exists()
    assert len((imported.outputs / "test.tsv").read_text("utf-8").splitlines()) == 24


def test_columns_of_other_names_are_named(model: Path, table: Path, tmp_path: Path, imported: RunDir) -> None:
    other = tmp_path / "news.csv"
    other.write_text(table.read_text("utf-8").replace("text,label", "body,topic"), encoding="utf-8")
    with pytest.raises(DataError, match="has no column 'text'; it has body, topic; set columns, INPUT and REFERENCE"):
        run_import(tmp_path / "run", model, f"test={other}")
    run = run_import(tmp_path / "run", model, f"test={other}", "columns=[body,topic]")
    assert open_bundle(run.bundle).manifest.scores == open_bundle(imported.bundle).manifest.scores


def test_a_forgotten_task_is_named_before_the_test_set_is_read(model: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a model of type 'bert'; translation takes t5 .*task=text_classification$"):
        run_import(tmp_path / "run", model, f"test={table}", task="translation")


def test_labels_that_the_model_does_not_know_are_listed_with_its_classes(
    model: Path, table: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "news.csv"
    wrong.write_text(table.read_text("utf-8") + "more,Earn\nand more,sport\nand,sport\n", encoding="utf-8")
    known = r"does not know 2 of the test set's labels: 'sport' \(2\), 'Earn' \(1\); its classes are earn, acq, crude"
    with pytest.raises(DataError, match=known):
        run_import(tmp_path / "run", model, f"test={wrong}")
    assert not (tmp_path / "run").exists()


def test_classes_without_names_are_named_in_order(model: Path, table: Path, tmp_path: Path, imported: RunDir) -> None:
    nameless = changed(model, tmp_path, id2label={str(row): f"LABEL_{row}" for row in range(4)})
    with pytest.raises(DataError, match=r"calls its classes LABEL_0, .*classes\.names=\[name0,name1,name2,name3\]"):
        run_import(tmp_path / "run", nameless)
    with pytest.raises(DataError, match=r"classes\.names has 3 names, but .* has 4 classes"):
        run_import(tmp_path / "run", nameless, "classes.names=[a,b,c]")
    run = run_import(tmp_path / "run", nameless, f"test={table}", f"classes.names=[{','.join(LABELS)}]")
    manifests = [open_bundle(one.bundle).manifest for one in (run, imported)]
    assert manifests[0].options == manifests[1].options
    assert manifests[0].scores == manifests[1].scores


def test_classes_are_counted_in_the_weights_where_no_names_are_written(
    model: Path, tmp_path: Path, imported: RunDir
) -> None:
    nameless = changed(model, tmp_path, id2label=None, label2id=None)
    with pytest.raises(DataError, match=r"calls its classes LABEL_0, .*classes\.names=\[name0,name1,name2,name3\]"):
        run_import(tmp_path / "run", nameless)
    run = run_import(tmp_path / "run", nameless, f"classes.names=[{','.join(LABELS)}]")
    assert open_bundle(run.bundle).manifest.options == open_bundle(imported.bundle).manifest.options


def test_classes_that_are_numbers_are_named_by_them(model: Path, tmp_path: Path) -> None:
    numbered = changed(model, tmp_path, id2label={str(row): row + 1 for row in range(4)})
    run = run_import(tmp_path / "run", numbered)
    assert open_bundle(run.bundle).manifest.options["labels"] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "no\xa0break"])
def test_names_that_do_not_fit_into_a_line_are_to_be_given(model: Path, tmp_path: Path, name: str) -> None:
    odd = changed(model, tmp_path, id2label={"0": "a", "1": name, "2": "c", "3": "d"})
    with pytest.raises(DataError, match=r"calls its classes .*classes\.names=\[name0,name1,name2,name3\]"):
        run_import(tmp_path / "run", odd)


@pytest.mark.parametrize("names", [["a", "b"], {"x": "a", "y": "b"}])
def test_a_list_of_classes_that_cannot_be_read_is_refused(model: Path, tmp_path: Path, names: Any) -> None:
    with pytest.raises(DataError, match=r"config\.json has an id2label that is no list of names by their numbers"):
        run_import(tmp_path / "run", changed(model, tmp_path, id2label=names))


def test_a_vocabulary_without_a_mask_is_taken(model: Path, tmp_path: Path, imported: RunDir) -> None:
    copy = changed(model, tmp_path)
    tokenizer = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] != "[MASK]"]
    tokenizer["model"]["vocab"]["[unused0]"] = tokenizer["model"]["vocab"].pop("[MASK]")
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    run = run_import(tmp_path / "run", copy)
    theirs, ours = (one.bundle / "engines" / "ct2-int8" / "model.bin" for one in (imported, run))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_model_that_is_no_classifier_is_refused(model: Path, tmp_path: Path) -> None:
    encoder = changed(model, tmp_path / "a", architectures=["BertModel"])
    with pytest.raises(DataError, match=r"has no classifier, but BertModel .*python -m train task=text_classification"):
        run_import(tmp_path / "run", encoder)
    several = changed(model, tmp_path / "b", problem_type="multi_label_classification")
    with pytest.raises(DataError, match=r"does not choose one of several classes: .*multi_label_classification"):
        run_import(tmp_path / "run", several)


def test_a_model_of_another_task_is_sent_there(model: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"type 'bert'; translation takes t5 .* one for task=text_classification"):
        run_import(tmp_path / "run", model, task="translation")
    with pytest.raises(DataError, match=r"type 't5'; text_classification takes bert .* one for task=translation"):
        run_import(tmp_path / "run", tiny_bundle / "model")


def test_two_files_are_no_table_of_labelled_texts(model: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a test set of one table"):
        run_import(tmp_path / "run", model, f"test={table}", "reference=labels.txt")


def test_a_vocabulary_in_an_older_form_is_refused_with_the_line_that_converts_it(model: Path, tmp_path: Path) -> None:
    older = changed(model, tmp_path)
    (older / "tokenizer.json").rename(older / "vocab.txt")
    with pytest.raises(DataError, match=rf"lacks tokenizer\.json; .*AutoTokenizer\.from_pretrained\('{older}'\)"):
        run_import(tmp_path / "run", older)


def test_the_bundle_is_scored_again_on_a_table(
    imported: RunDir, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*arguments: str | Path) -> None:
        fixed = ["train.evaluate", "--json", "--bundle", str(imported.bundle)]
        monkeypatch.setattr(sys, "argv", [*fixed, *map(str, arguments)])
        train.evaluate.main()

    evaluate("--test", table)
    found = json.loads(capsys.readouterr().out)["scores"]
    scores = open_bundle(imported.bundle).manifest.scores
    assert [(one["metric"], one["value"]) for one in found] == [(score.metric, score.value) for score in scores]
    (tmp_path / "other.csv").write_text("body,topic\nmore,sport\n", encoding="utf-8")
    with pytest.raises(DataError, match="does not know 1 of the test set's labels: 'sport'"):
        evaluate("--test", tmp_path / "other.csv", "--columns", "body,topic")


def test_names_in_another_order_are_no_new_names(model: Path, tmp_path: Path) -> None:
    run = run_import(tmp_path / "run", model, f"classes.names=[{','.join(reversed(LABELS))}]")
    assert open_bundle(run.bundle).manifest.options["labels"] == list(LABELS)


def test_the_test_set_is_no_validation_set(model: Path, table: Path, tmp_path: Path, imported: RunDir) -> None:
    with pytest.raises(DataError, match=r"the items of validation= and of test= are the same: .*give other items"):
        run_import(tmp_path / "run", model, f"test={imported.held_out / 'test.parquet'}", f"validation={table}")
    assert not (tmp_path / "run").exists()


def test_a_validation_set_gives_the_temperature(
    model: Path, other_table: Path, tmp_path: Path, imported: RunDir
) -> None:
    run = run_import(tmp_path / "run", model, f"test={imported.held_out / 'test.parquet'}", f"validation={other_table}")
    manifest, before = (open_bundle(one.bundle).manifest for one in (run, imported))
    assert before.options["temperature"] == 1.0
    # Random weights know nothing, which is said the better the hotter they are.
    assert manifest.options["temperature"] > 1.0
    figures = read_figures(run)
    assert figures["calibration/temperature"] == manifest.options["temperature"]
    assert [score.test_set.partition("@")[0] for score in manifest.scores] == ["test/test"] * 3 + [
        "test/validation"
    ] * 3
    assert manifest.scores[1].value == before.scores[1].value
    assert (run.held_out / "validation.parquet").exists()
