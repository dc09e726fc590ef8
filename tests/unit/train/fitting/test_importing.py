"""Importing a model that exists already: a tiny T5 with random weights."""

import json
import shutil
from pathlib import Path

import pytest

import dragoman
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, DataError, UnavailableError
from scoring.held_out import label, read_held_out
from train.config.imports import compose_import
from train.fitting.importing import import_model
from train.run.recorder import Recorder, RunFacts, Unrecorded
from train.run.run_dir import RunDir

# As in the tiny bundle, whose model this is.
PREFIX = "model.prefix='translate: '"


@pytest.fixture(scope="module")
def test_files(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> list[str]:
    folder = tmp_path_factory.mktemp("test-set")
    for name, sentences in (("toy.en", toy_sentences[:30]), ("toy.de", toy_sentences[30:60])):
        (folder / name).write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    return [f"test={folder / 'toy.en'}", f"reference={folder / 'toy.de'}"]


def run_import(run_dir: Path, model: Path, *settings: str) -> RunDir:
    config = compose_import([f"model.path={model}", f"run_dir={run_dir}", "tracking.enabled=false", PREFIX, *settings])
    assert import_model(config, lambda facts: Unrecorded()) == 0
    return RunDir(run_dir)


@pytest.fixture(scope="module")
def imported(tiny_bundle: Path, test_files: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return run_import(tmp_path_factory.mktemp("import") / "run", tiny_bundle / "model", *test_files)


def test_the_bundle_answers_with_the_weights_as_they_were(imported: RunDir, tiny_bundle: Path) -> None:
    engines = [bundle / "engines" / "ct2-int8" / "model.bin" for bundle in (imported.bundle, tiny_bundle)]
    assert engines[0].read_bytes() == engines[1].read_bytes()
    predictor = dragoman.load(imported.bundle)
    (outcome,) = predictor(["The man sees the red car today."])
    predictor.close()
    assert isinstance(outcome, dragoman.Result)


def test_the_manifest_tells_the_base_model_and_that_it_was_imported(imported: RunDir, tiny_bundle: Path) -> None:
    manifest = open_bundle(imported.bundle).manifest
    provenance = manifest.provenance
    assert provenance.imported
    assert provenance.mlflow_run_id is None
    assert provenance.base_model is not None
    assert provenance.base_model.name == "model"
    assert provenance.corpus_fingerprint == json.loads(imported.corpus.read_text("utf-8"))["fingerprint"]
    assert "imported as it is from model" in (imported.bundle / "MODEL_CARD.md").read_text("utf-8")
    # A bundle that was trained says nothing of it, as before there were imports.
    assert "imported" not in (tiny_bundle / "manifest.json").read_text("utf-8")
    assert not open_bundle(tiny_bundle).manifest.provenance.imported


def test_the_run_holds_the_test_set_that_its_scores_name(imported: RunDir) -> None:
    items = read_held_out(imported.held_out / "test.parquet")
    scores = open_bundle(imported.bundle).manifest.scores
    assert {(score.metric, score.test_set) for score in scores} == {
        (metric, label("toy", "test", items)) for metric in ("chrF", "BLEU")
    }
    assert len((imported.outputs / "test.tsv").read_text("utf-8").splitlines()) == len(items) == 30
    assert len(json.loads(imported.samples.read_text("utf-8"))) == 20


def test_the_same_model_gives_the_same_version_wherever_it_and_its_test_set_lie(
    imported: RunDir, tiny_bundle: Path, test_files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bundle / "model", tmp_path / "model")
    held_out = shutil.copy(imported.held_out / "test.parquet", tmp_path / "toy.parquet")
    monkeypatch.chdir(tmp_path)
    again = run_import(tmp_path / "run", Path("model"), *test_files)
    assert (again.bundle / "manifest.json").read_bytes() == (imported.bundle / "manifest.json").read_bytes()
    # A held-out set of ours is the same set in another form.
    third = open_bundle(run_import(tmp_path / "third", Path("model"), f"test={held_out}").bundle).manifest
    assert third.scores == open_bundle(imported.bundle).manifest.scores


def test_without_a_test_set_there_are_no_scores_and_it_is_said_what_that_means(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_import(tmp_path / "run", tiny_bundle / "model")
    assert open_bundle(run.bundle).manifest.scores == ()
    assert list(run.held_out.iterdir()) == []
    told = capsys.readouterr()
    assert "no scores on a test set: the gate" in told.err
    assert "--held-out FILE.parquet" in told.err
    assert told.out == f"bundle: {run.bundle}\n"


def test_a_record_that_cannot_be_made_leaves_the_bundle_and_says_how_to_go_on(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    def no_server(facts: RunFacts) -> Recorder:
        assert facts.tags["imported"] == "true"
        assert not [name for name in facts.params if name.startswith("train.")]
        raise UnavailableError("nobody answers")

    config = compose_import([f"model.path={tiny_bundle / 'model'}", f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(UnavailableError, match=r"nobody answers.*go on with: python -m model_registry register"):
        import_model(config, no_server)
    assert open_bundle(tmp_path / "run" / "bundle")


def test_what_goes_wrong_leaves_nothing_behind(tiny_bundle: Path, tmp_path: Path) -> None:
    wrong: list[tuple[list[str], type[Exception], str]] = [
        (["test=none.en", "reference=none.de"], DataError, "none.en: it does not exist"),
        (["export.target_vocabulary=corpus"], ConfigError, "needs a training corpus, and an import has none"),
    ]
    for settings, kind, message in wrong:
        with pytest.raises(kind, match=message):
            run_import(tmp_path / "run", tiny_bundle / "model", *settings)
    assert list(tmp_path.iterdir()) == []
