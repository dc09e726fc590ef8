import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman.bundle.manifest import Score
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, DataError, DragomanError, UnavailableError
from scoring.held_out import label, read_held_out
from tests.conftest import ROOT
from tests.forked import Command
from tests.integration.mlflow_server import free_port, mlflow_server, new_store
from tests.toy_corpus import toy_pairs, write_toy_corpus
from train.checkpoint import MODEL, Checkpoints
from train.config.compose import compose_config, load_config
from train.run.history import read_history
from train.run.record import final_figures
from train.run.recorder import Recorder, RunFacts, Unrecorded
from train.run.run_dir import RunDir
from train.session import resume, start

STEPS = 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give settings for training on the toy corpus."""
    return write_toy_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def train(corpus: list[str], tmp_path: Path) -> Callable[..., RunDir]:
    """Give a function that trains in this process, without a record; returns the run's directory."""

    def run(*settings: str) -> RunDir:
        config = compose_config([*corpus, f"run_dir={tmp_path / 'run'}", "tracking.enabled=false", *settings])
        assert start(config, lambda facts: Unrecorded()) == 0
        return RunDir(tmp_path / "run")

    return run


@pytest.fixture(scope="module")
def tracked(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, str, str]:
    """Give a run by the command, never interrupted, with its standard output and the URI of its record."""
    folder = tmp_path_factory.mktemp("whole")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    settings = [*corpus, f"train.max_steps={STEPS}", f"run_dir={folder / 'run'}", f"tracking.uri={uri}"]
    done = subprocess.run(
        [sys.executable, "-m", "train", *settings],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return RunDir(folder / "run"), done.stdout, uri


def command(arguments: Sequence[str], folder: Path, module: str = "train") -> Command:
    # From another directory, so that nothing lands in the repository.
    return Command(module, arguments, folder)


def stopped(arguments: Sequence[str], folder: Path, run: RunDir, with_signal: signal.Signals) -> int:
    """Start the command, send a signal once it has two checkpoints, and give its exit status."""
    process = command(arguments, folder)
    deadline = time.monotonic() + 120
    while len(list(run.checkpoints.glob("step-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(with_signal)
    process.communicate(timeout=60)
    return process.returncode


def weights(run: RunDir) -> str:
    return hashlib.sha256((run.bundle / "model" / "model.safetensors").read_bytes()).hexdigest()


def figures(run: RunDir) -> list[dict[str, Any]]:
    """Read the curves without the clock's part in them."""
    clocked = ("elapsed_seconds", "train/tokens_per_second")
    return [{key: value for key, value in point.items() if key not in clocked} for point in read_history(run)]


def test_the_last_line_names_a_bundle_that_translates(tracked: tuple[RunDir, str, str]) -> None:
    run, output, _ = tracked
    assert output.splitlines()[-1] == f"bundle: {run.bundle}"
    with_ct2 = dragoman.load(run.bundle)
    (outcome,) = with_ct2(["the man sees a book today."])
    with_ct2.close()
    assert isinstance(outcome, dragoman.Result)
    manifest = with_ct2.bundle.manifest
    assert manifest.provenance.mlflow_run_id
    labels = {score.test_set for score in manifest.scores}
    assert {label.partition("@")[0] for label in labels} == {"parallel/test", "parallel/validation"}
    assert all(re.fullmatch(r"parallel/\w+@[0-9a-f]{8}", label) for label in labels)
    assert (run.outputs / "test.tsv").read_text("utf-8").count("\t") == 2 * manifest.scores[0].items
    assert {score.engine for score in manifest.scores} == {"ctranslate2"}


def test_the_run_directory_holds_what_it_says(tracked: tuple[RunDir, str, str]) -> None:
    run, _, _ = tracked
    assert json.loads(run.corpus.read_text(encoding="utf-8"))["splits"]["train"]["kept"] == 256 - 20 - 25
    assert run.curves.read_bytes().startswith(b"\x89PNG")
    assert set(json.loads(run.samples.read_text(encoding="utf-8"))[0]) == {"source", "reference", "hypothesis"}
    points = read_history(run)
    assert [point["step"] for point in points if "validation/chrf" in point] == [20, 40, 60]
    assert all(point["train/padding_share"] < 0.1 for point in points if "train/loss" in point)
    assert not [path for path in run.path.rglob("*") if path.name.startswith(".")]


def test_mlflow_holds_the_run(tracked: tuple[RunDir, str, str]) -> None:
    from mlflow.tracking import MlflowClient

    run, _, uri = tracked
    client = MlflowClient(uri)
    place = json.loads(run.mlflow.read_text(encoding="utf-8"))
    record = client.get_run(place["run_id"])
    assert record.info.status == "FINISHED"
    assert record.data.params["train.max_steps"] == str(STEPS)
    assert record.data.tags["corpus_fingerprint"].startswith("sha256:")
    assert record.data.tags["mlflow.source.name"] == "python -m train"
    losses = client.get_metric_history(place["run_id"], "train/loss")
    assert [point.step for point in losses] == [20, 40, 60]
    assert client.get_metric_history(place["run_id"], "vs_units/validation/chrf")
    artifacts = {file.path for file in client.list_artifacts(place["run_id"])}
    assert {"config.yaml", "corpus.json", "curves.png", "samples.json"} <= artifacts
    held_out = {file.path for file in client.list_artifacts(place["run_id"], "held_out")}
    assert held_out == {"held_out/test.parquet", "held_out/validation.parquet"}
    assert place["complete"]


def test_mlflow_names_the_corpora_of_the_run_by_the_labels_of_its_scores(tracked: tuple[RunDir, str, str]) -> None:
    from mlflow.tracking import MlflowClient

    run, _, uri = tracked
    record = MlflowClient(uri).get_run(json.loads(run.mlflow.read_text(encoding="utf-8"))["run_id"])
    logged = {}
    for entry in record.inputs.dataset_inputs:
        contexts = [tag.value for tag in entry.tags if tag.key == "mlflow.data.context"]
        logged[f"{entry.dataset.name}@{entry.dataset.digest}"] = contexts
        assert "toy.en" in entry.dataset.source
    labels = {score.test_set for score in open_bundle(run.bundle).manifest.scores}
    assert labels < set(logged)
    assert {name.partition("@")[0]: contexts for name, contexts in logged.items()} == {
        f"parallel/{split}": [split] for split in ("train", "validation", "test")
    }


def test_the_held_out_sets_of_a_run_are_those_of_its_scores(tracked: tuple[RunDir, str, str]) -> None:
    run, _, _ = tracked
    labels = {score.test_set for score in open_bundle(run.bundle).manifest.scores}
    sets = {name: read_held_out(run.held_out / f"{name}.parquet") for name in ("test", "validation")}
    assert labels == {label("parallel", name, items) for name, items in sets.items()}


def test_a_killed_run_resumes_to_the_same_bits_in_the_same_record(
    corpus: list[str], tracked: tuple[RunDir, str, str], tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    run, uri = RunDir(tmp_path / "run"), new_store(tmp_path / "mlflow.db")
    settings = [*corpus, f"train.max_steps={STEPS}", f"run_dir={run.path}", f"tracking.uri={uri}"]
    assert stopped(settings, tmp_path, run, signal.SIGKILL) == -signal.SIGKILL
    assert not run.bundle.exists()
    place = json.loads(run.mlflow.read_text(encoding="utf-8"))
    resumed = command([f"resume={run.path}"], tmp_path)
    output, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert output.splitlines()[-1] == f"bundle: {run.bundle}"
    whole, _, _ = tracked
    assert weights(run) == weights(whole)
    assert figures(run) == figures(whole)
    assert not place["complete"]
    assert json.loads(run.mlflow.read_text(encoding="utf-8")) == {**place, "complete": True}
    losses = MlflowClient(uri).get_metric_history(place["run_id"], "train/loss")
    assert [point.step for point in losses] == [20, 40, 60]


def test_sigterm_writes_a_checkpoint_and_a_changed_corpus_is_then_refused(
    corpus: list[str], tracked: tuple[RunDir, str, str], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    copies = write_toy_corpus(tmp_path)[-2:]
    settings = [*corpus[:-2], *copies, f"run_dir={run.path}", f"train.max_steps={STEPS}", "tracking.enabled=false"]
    assert stopped([*settings, "train.max_steps=100000"], tmp_path, run, signal.SIGTERM) == 143
    assert not run.bundle.exists()
    with (tmp_path / "toy.de").open("a", encoding="utf-8") as file:
        file.write("noch einer\n")
    with (tmp_path / "toy.en").open("a", encoding="utf-8") as file:
        file.write("one more\n")
    resumed = command([f"resume={run.path}"], tmp_path)
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 65
    assert "the corpus has changed" in errors


def test_a_finished_run_says_again_where_its_bundle_is(tracked: tuple[RunDir, str, str], tmp_path: Path) -> None:
    run, _, _ = tracked
    again = command([f"resume={run.path}"], tmp_path)
    output, _ = again.communicate(timeout=60)
    assert (again.returncode, output) == (0, f"bundle: {run.bundle}\n")


class Cut(Unrecorded):
    """A recorder that fails when the bundle is to be recorded, and keeps what it was given and how it was closed."""

    run_id = "f00"

    def __init__(self, error: BaseException | None = None, refuses: str = "") -> None:
        self.error, self.refuses = error, refuses
        self.closed: list[str] = []
        self.figures: dict[str, float] = {}
        self.files: list[str] = []
        self.corpora: list[Mapping[str, str]] = []
        self.bundles: list[Path] = []

    def log_corpora(self, corpora: Sequence[Mapping[str, str]]) -> None:
        self.corpora += corpora

    def metrics(self, values: Mapping[str, float], *, step: int, units: int) -> None:
        self.figures.update(values)

    def artifact(self, path: Path, folder: str = "") -> None:
        self.files.append(path.name)

    def log_bundle(self, bundle_dir: Path) -> None:
        assert open_bundle(bundle_dir).manifest.scores
        if self.error is not None:
            raise self.error
        self.bundles.append(bundle_dir)

    def finish(self, status: str) -> None:
        self.closed.append(status)
        if status == self.refuses:
            raise UnavailableError("no answer")


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.run.record.PATIENCE_SECONDS", 0.0)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("recorder", "error", "closed"),
    [
        (Cut(OSError("full")), OSError, ["FAILED"]),
        (Cut(OSError("full"), refuses="FAILED"), OSError, ["FAILED"]),
        (Cut(SystemExit(143)), SystemExit, ["KILLED"]),
        (Cut(UnavailableError("gone")), UnavailableError, []),
        (Cut(refuses="FINISHED"), UnavailableError, ["FINISHED"]),
    ],
)
def test_a_run_that_is_cut_off_while_it_is_recorded_keeps_its_bundle_and_sends_the_record_later(
    corpus: list[str], tmp_path: Path, recorder: Cut, error: type[BaseException], closed: list[str]
) -> None:
    run = RunDir(tmp_path / "run")
    with pytest.raises(error):
        start(compose_config([*corpus, f"run_dir={run.path}", "train.max_steps=2"]), lambda facts: recorder)
    assert recorder.closed == closed
    digest = open_bundle(run.bundle).manifest.digest
    # Neither the corpus nor the checkpoints are needed any more.
    shutil.rmtree(run.checkpoints)
    again = Cut()
    asked: list[RunFacts] = []

    def reopened(facts: RunFacts) -> Recorder:
        asked.append(facts)
        return again

    assert resume(load_config(run.config), run.path, reopened) == 0
    assert [facts.run_id for facts in asked] == ["f00"]
    assert again.closed == ["FINISHED"]
    assert again.bundles == [run.bundle]
    assert {corpus["context"] for corpus in again.corpora} == {"train", "validation", "test"}
    assert {frozenset(corpus.items()) for corpus in again.corpora} == {
        frozenset(corpus.items()) for corpus in recorder.corpora
    }
    assert {"train/loss", "validation/chrf", "parallel/test/chrf"} <= set(again.figures)
    assert {"config.yaml", "corpus.json", "curves.png", "test.parquet", "validation.parquet"} == set(again.files)
    assert open_bundle(run.bundle).manifest.digest == digest
    assert resume(load_config(run.config), run.path, reopened) == 0
    assert len(asked) == 1


@pytest.mark.usefixtures("_impatient")
def test_a_tracking_server_that_is_out_of_reach_at_the_end_is_told_with_the_way_to_send_the_record(
    corpus: list[str], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    with pytest.raises(
        UnavailableError, match=rf"bundle {run.bundle} is complete.*python -m train resume={run.path}"
    ) as caught:
        start(
            compose_config([*corpus, f"run_dir={run.path}", "train.max_steps=2"]),
            lambda facts: Cut(UnavailableError("gone")),
        )
    assert caught.value.exit_code == 69

    def no_server(facts: RunFacts) -> Recorder:
        raise UnavailableError("nobody answers")

    with pytest.raises(UnavailableError, match=rf"is complete.*nobody answers.*resume={run.path}"):
        resume(load_config(run.config), run.path, no_server)


def test_a_server_that_comes_back_in_time_gets_the_record_at_once(corpus: list[str], tmp_path: Path) -> None:
    class Restarted(Cut):
        def log_bundle(self, bundle_dir: Path) -> None:
            self.bundles.append(bundle_dir)
            if len(self.bundles) < 2:
                raise UnavailableError("restarting")

    recorder = Restarted()
    config = compose_config([*corpus, f"run_dir={tmp_path / 'run'}", "train.max_steps=2"])
    assert start(config, lambda facts: recorder) == 0
    assert (len(recorder.bundles), recorder.closed) == (2, ["FINISHED"])


def test_a_real_server_that_dies_during_training_costs_no_bundle_and_gets_its_record_when_it_is_back(
    corpus: list[str], tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    run, port = RunDir(tmp_path / "run"), free_port()
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server", port) as server:
        settings = [*corpus, f"run_dir={run.path}", f"train.max_steps={STEPS}", f"tracking.uri={server.uri}"]
        process = Command(
            "train",
            settings,
            tmp_path,
            environment={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
            values={"train.run.record.PATIENCE_SECONDS": 0.0},
        )
        deadline = time.monotonic() + 120
        while not run.mlflow.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 69, errors
    assert f"send it later with: python -m train resume={run.path}" in errors
    assert open_bundle(run.bundle).manifest.scores
    with mlflow_server(tmp_path / "server", port) as server:
        sent = command([f"resume={run.path}"], tmp_path)
        output, errors = sent.communicate(timeout=120)
        assert (sent.returncode, output) == (0, f"bundle: {run.bundle}\n"), errors
        client, run_id = MlflowClient(server.uri), json.loads(run.mlflow.read_text(encoding="utf-8"))["run_id"]
        assert client.get_run(run_id).info.status == "FINISHED"
        assert [point.step for point in client.get_metric_history(run_id, "train/loss")] == [20, 40, 60]
        assert "parallel/test/chrf" in client.get_run(run_id).data.metrics


def test_a_damaged_best_checkpoint_is_forgotten(
    train: Callable[..., RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("train.lr=0", "train.max_steps=30", "train.validate_every_steps=10")
    checkpoints = Checkpoints(run.checkpoints, keep=2)
    assert checkpoints.steps() == [10, 20, 30]
    (checkpoints.path(10) / MODEL).write_bytes(b"half")
    shutil.rmtree(run.bundle)
    assert resume(load_config(run.config), run.path, lambda facts: Unrecorded()) == 0
    assert run.bundle.exists()
    assert "the best checkpoint, of step 10, was damaged" in "".join(capsys.readouterr())


def test_an_edited_configuration_is_refused(train: Callable[..., RunDir]) -> None:
    run = train("train.max_steps=2")
    shutil.rmtree(run.bundle)
    text = run.config.read_text(encoding="utf-8")
    run.config.write_text(text.replace("max_steps: 2", "max_steps: 3"), encoding="utf-8")
    with pytest.raises(DataError, match=r"config\.yaml has changed since the run was started"):
        resume(load_config(run.config), run.path, lambda facts: Unrecorded())


def test_the_record_takes_the_first_score_of_a_test_set_and_metric() -> None:
    rows = [("chrF", 3.0), ("BLEU", 2.0), ("BLEU", 1.0)]
    found = [
        Score(metric=metric, value=value, signature="", test_set="set/test@01", items=1, low=0, high=9, engine="x")
        for metric, value in rows
    ]
    assert final_figures(found) == {"set/test/chrf": 3.0, "set/test/bleu": 2.0}


def test_the_toy_language_is_learnt_and_scored_by_command(train: Callable[..., RunDir], tmp_path: Path) -> None:
    run = train("train.max_steps=400", "train.validate_every_steps=100")
    for index, name in enumerate(("source.txt", "reference.txt")):
        text = "".join(f"{pair[index]}\n" for pair in toy_pairs()[:50])
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = ["--source", str(tmp_path / "source.txt"), "--reference", str(tmp_path / "reference.txt")]
    scored = command(["--bundle", str(run.bundle), *files, "--json"], tmp_path, "train.evaluate")
    output, errors = scored.communicate(timeout=60)
    assert scored.returncode == 0, errors
    (chrf, *_) = json.loads(output)["scores"]
    assert chrf["metric"] == "chrF"
    assert chrf["value"] > 90
    assert chrf["low"] <= chrf["value"] <= chrf["high"]


def test_a_limit_of_time_ends_the_run_annealed(train: Callable[..., RunDir]) -> None:
    began = time.monotonic()
    # Without a validation on the way, which could take what is left of the time after the last step.
    run = train("train.max_minutes=0.1", "train.validate_every_steps=1000000")
    assert time.monotonic() - began < 30
    rates = [point["train/lr"] for point in read_history(run) if "train/lr" in point]
    assert rates[-1] < 0.05 * max(rates)


def test_a_score_that_stops_rising_ends_the_run(train: Callable[..., RunDir]) -> None:
    run = train("train.lr=0", "train.max_steps=1000", "train.patience=2", "train.validate_every_steps=5")
    assert [point["step"] for point in read_history(run) if "validation/chrf" in point] == [5, 10, 15]


def test_a_loss_that_is_no_number_stops_with_its_step_and_leaves_the_best_checkpoint(
    train: Callable[..., RunDir], tmp_path: Path
) -> None:
    with pytest.raises(DragomanError, match=r"is (nan|inf) at step \d+; the best checkpoint.*train\.lr") as caught:
        train("train.lr=1e30", "train.warmup_steps=0", "train.max_steps=200", "train.validate_every_steps=1")
    assert caught.value.exit_code == 70
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_loss_that_is_no_number_names_the_last_checkpoint_where_nothing_was_validated(
    train: Callable[..., RunDir],
) -> None:
    settings = ["train.lr=1e30", "train.warmup_steps=0", "train.max_steps=200", "train.checkpoint_every_steps=1"]
    with pytest.raises(DragomanError, match=r"the last checkpoint, .*step-00000001, is kept"):
        train(*settings, "train.validate_every_steps=200")


def test_averaged_checkpoints_make_a_bundle_too(train: Callable[..., RunDir]) -> None:
    run = train("train.max_steps=40", "train.average_checkpoints=3")
    assert len(list(run.checkpoints.iterdir())) >= 3
    assert dragoman.load(run.bundle).bundle.manifest.scores


def test_weights_and_vocabulary_of_a_directory_are_trained_further(
    tracked: tuple[RunDir, str, str], train: Callable[..., RunDir], corpus: list[str], tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    pretrained = tracked[0].bundle / "model"
    settings = [setting for setting in corpus if not setting.startswith("model.")]
    config = compose_config(
        [
            *settings,
            "model=t5_small",
            f"model.path={pretrained}",
            "train.max_steps=1",
            "train.lr=0",
            "tracking.enabled=false",
            f"run_dir={tmp_path / 'run'}",
        ]
    )
    assert start(config, lambda facts: Unrecorded()) == 0
    bundle = dragoman.load(tmp_path / "run" / "bundle").bundle
    assert bundle.manifest.options["preprocessing"] == {"prefix": "translate English to German: "}
    base = bundle.manifest.provenance.base_model
    assert base is not None
    assert (base.name, base.revision) == ("model", None)
    assert base.digest.startswith("sha256:")
    assert str(tracked[0].path) not in (bundle.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert (bundle.model_dir / "spiece.model").read_bytes() == (pretrained / "spiece.model").read_bytes()
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (bundle.model_dir, pretrained))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_trained_model_is_imported_as_it_is_and_registered_with_the_run_of_its_import(
    tracked: tuple[RunDir, str, str], tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient
    from safetensors.numpy import load_file

    old, uri = open_bundle(tracked[0].bundle), new_store(tmp_path / "mlflow.db")
    settings = [f"model.path={old.model_dir}", "model.prefix=''", f"test={tracked[0].held_out / 'test.parquet'}"]
    place = [f"run_dir={tmp_path / 'run'}", f"tracking.uri={uri}"]
    importing = command(["import", *settings, *place], tmp_path)
    output, errors = importing.communicate(timeout=120)
    assert (importing.returncode, output) == (0, f"bundle: {tmp_path / 'run' / 'bundle'}\n"), errors
    registering = command(["register", str(tmp_path / "run"), "--tracking-uri", uri], tmp_path, "model_registry")
    assert registering.communicate(timeout=120)[0].startswith("registered: translation-en-de/1 ")
    # One run of MLflow holds the import, its test set and the version.
    run_id = json.loads((tmp_path / "run" / "mlflow.json").read_text(encoding="utf-8"))["run_id"]
    client = MlflowClient(uri, registry_uri=uri)
    assert client.get_model_version("translation-en-de", "1").run_id == run_id
    record = client.get_run(run_id)
    assert (record.info.status, record.data.tags["imported"]) == ("FINISHED", "true")
    assert [entry.path for entry in client.list_artifacts(run_id, "held_out")] == ["held_out/test.parquet"]
    new = open_bundle(tmp_path / "run" / "bundle")
    ours, theirs = (load_file(bundle.model_dir / "model.safetensors") for bundle in (new, old))
    assert set(ours) == set(theirs)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    engines = [next((bundle.path / "engines").glob("*/model.bin")).read_bytes() for bundle in (new, old)]
    assert engines[0] == engines[1]
    # On the same items, whose label names the file that they were read from.
    found, known = ([(score.metric, score.value) for score in one.manifest.scores] for one in (new, old))
    assert found == known[:2]


def test_a_held_out_set_of_a_run_is_scored_by_command_as_the_run_did(
    tracked: tuple[RunDir, str, str], tmp_path: Path
) -> None:
    run = tracked[0]
    arguments = ["--bundle", str(run.bundle), "--held-out", str(run.held_out / "test.parquet"), "--json"]
    scored = command(arguments, tmp_path, "train.evaluate")
    output, errors = scored.communicate(timeout=60)
    assert scored.returncode == 0, errors
    known = {
        score.metric: score.value for score in open_bundle(run.bundle).manifest.scores if "/test@" in score.test_set
    }
    found = {score["metric"]: score["value"] for score in json.loads(output)["scores"]}
    assert known.items() <= found.items()
    wrong = command(["--bundle", str(run.bundle), "--source", "x"], tmp_path, "train.evaluate")
    assert "give a test set" in wrong.communicate(timeout=60)[1]


def test_a_vocabulary_given_by_path_is_used(tracked: tuple[RunDir, str, str], train: Callable[..., RunDir]) -> None:
    given = tracked[0].assets
    run = train("train.max_steps=2", f"model.tokenizer_path={given}")
    assert (run.bundle / "model" / "spiece.model").read_bytes() == (given / "spiece.model").read_bytes()


def test_a_wrong_model_directory_is_named_and_leaves_nothing(corpus: list[str], tmp_path: Path) -> None:
    settings = [setting for setting in corpus if not setting.startswith("model.")]
    base = [*settings, "model=t5_small", f"run_dir={tmp_path / 'run'}", "tracking.enabled=false"]
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "empty", "empty lacks config.json"),
        (tmp_path / "no", "is not a directory"),
    ):
        with pytest.raises(DataError, match=message):
            start(compose_config([*base, f"model.path={path}"]), lambda facts: Unrecorded())
    assert not (tmp_path / "run").exists()


def test_a_model_configuration_that_no_bundle_takes_is_refused_before_training(
    tracked: tuple[RunDir, str, str], corpus: list[str], tmp_path: Path
) -> None:
    pretrained = shutil.copytree(tracked[0].bundle / "model", tmp_path / "model")
    known = json.loads((pretrained / "config.json").read_text(encoding="utf-8"))
    (pretrained / "config.json").write_text(json.dumps({**known, "auto_map": {}}), encoding="utf-8")
    settings = [setting for setting in corpus if not setting.startswith("model.")]
    config = compose_config([*settings, "model=t5_small", f"model.path={pretrained}", f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(DataError, match="do not describe a T5: auto_map"):
        start(config, lambda facts: Unrecorded())


def test_what_is_out_of_reach_leaves_nothing_behind(corpus: list[str], tmp_path: Path) -> None:
    def no_server(facts: RunFacts) -> Recorder:
        raise UnavailableError(f"nobody answers for {facts.run_name}")

    base = [*corpus, f"run_dir={tmp_path / 'run'}", "train.max_steps=1"]
    with pytest.raises(UnavailableError, match="nobody answers for run"):
        start(compose_config(base), no_server)
    pretrained = [*(setting for setting in base if not setting.startswith("model.")), "model=t5_small"]
    with pytest.raises(UnavailableError, match=r"google-t5/t5-small.*model\.path=DIRECTORY"):
        start(compose_config(pretrained), lambda facts: Unrecorded())
    with pytest.raises(UnavailableError, match=r"wmt/wmt19.*data\.path=DIRECTORY"):
        start(compose_config([f"run_dir={tmp_path / 'run'}", "data=wmt19"]), lambda facts: Unrecorded())
    assert list(tmp_path.iterdir()) == []


def test_a_taken_run_directory_is_refused(tracked: tuple[RunDir, str, str], corpus: list[str]) -> None:
    with pytest.raises(ConfigError, match="holds a run already"):
        start(compose_config([*corpus, f"run_dir={tracked[0].path}"]), lambda facts: Unrecorded())


@pytest.mark.parametrize("streaming", ["true", "false"])
def test_a_local_copy_of_a_hub_set_is_read(tmp_path: Path, streaming: str) -> None:
    import pyarrow
    import pyarrow.parquet

    for split, size in (("train", 40), ("validation", 10)):
        rows = [{"translation": {"en": f"{split} {number}", "de": f"Satz {number}"}} for number in range(size)]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"{split}-0.parquet")
    config = compose_config(
        ["data=wmt19", f"data.path={tmp_path}", "data.subset=null", f"data.streaming={streaming}", "data.max_rows=30"]
    )
    splits = config.data.read(config.task)
    assert [len(pairs) for _, pairs in splits.items()] == [30, 5, 5]
    assert splits.train[0] != ("train 0", "Satz 0") or splits.train[1] != ("train 1", "Satz 1")
