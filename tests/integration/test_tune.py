import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from dragoman.bundle.store import open_bundle
from dragoman.errors import BundleError, ConfigError, DataError, InferenceError
from model_registry.mlflow_store.study_tracking import TrackedStudy
from tests.conftest import ROOT
from tests.forked import Command
from tests.signing_keys import write_key_pair
from tests.toy_corpus import write_toy_corpus
from tune.__main__ import best, search
from tune.study.recorder import PlannedTrial

SPACE = (
    "space={train.lr: {kind: float, low: 0.001, high: 0.05, log: true},"
    " train.schedule: {kind: categorical, choices: [linear, inverse_sqrt]},"
    " train.label_smoothing: {kind: float, low: 0, high: 0.2, when: {train.schedule: [linear]}}}"
)
OF_THE_SEARCH = ("train.lr=", "train.validate_every_steps=")


def settings(folder: Path, *more: str) -> list[str]:
    """Return a search of seconds, which writes only into the directory that it is started in."""
    toy = [text for text in write_toy_corpus(folder) if not text.startswith(OF_THE_SEARCH)]
    own = ["study=toy", "settings=[]", "trial=[train.max_units=8000]", "final=[train.max_steps=30]"]
    pace = ["report_every_units=2000", "train.log_every_steps=5", "heartbeat_seconds=1", "pruner.startup_trials=2"]
    return [*toy, *own, *pace, "pruner.warmup_units=4000", SPACE, f"storage=sqlite:///{folder / 'optuna.db'}", *more]


def command(arguments: Sequence[str], folder: Path) -> Command:
    return Command("tune", arguments, folder)


def trials(folder: Path) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    try:
        return optuna.load_study(study_name="toy", storage=storage).get_trials()
    finally:
        storage.remove_session()
        storage.engine.dispose()


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A search by its command, with its results."""

    folder: Path
    output: str
    told: str
    client: MlflowClient
    found: list[FrozenTrial]

    @property
    def complete(self) -> list[FrozenTrial]:
        return [trial for trial in self.found if trial.state == TrialState.COMPLETE]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("searched")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-m", "tune", *settings(folder, "trials=5", f"tracking.uri={uri}", "then=train")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    output, told = done.stdout, done.stderr
    assert done.returncode == 0, told
    return Searched(folder=folder, output=output, told=told, client=MlflowClient(uri, uri), found=trials(folder))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let searches in this process write below a directory of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(searched: Searched, kind: str) -> list[Any]:
    experiment = searched.client.get_experiment_by_name("dragoman")
    return list(searched.client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))


def test_the_best_trial_becomes_a_registered_candidate_that_names_its_study(searched: Searched) -> None:
    bundle_line, version_line = searched.output.splitlines()[-2:]
    best_trial = max(searched.complete, key=lambda trial: trial.values[0])
    lineage = f"toy/trial-{best_trial.number}"
    bundle = open_bundle(searched.folder / bundle_line.removeprefix("bundle: "))
    assert bundle.manifest.provenance.study == lineage
    assert version_line == f"registered: translation-en-de/1 bundle {bundle.manifest.version}"
    version = searched.client.get_model_version_by_alias("translation-en-de", "candidate")
    assert f"- study: `{lineage}`" in version.description.splitlines()
    run = searched.client.get_run(bundle.manifest.provenance.mlflow_run_id)
    assert run.data.tags["study"] == "toy"
    config = yaml.safe_load((bundle.path / "config.yaml").read_text(encoding="utf-8"))
    assert config["train"]["lr"] == best_trial.params["train.lr"]
    assert config["train"]["max_steps"] == 30


def test_mlflow_holds_the_study_with_a_run_for_each_trial(searched: Searched) -> None:
    (parent,) = runs(searched, "study")
    children = runs(searched, "trial")
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    by_planned = {int(run.data.tags["slot"]): run for run in children}
    assert sorted(by_planned) == [0, 1, 2, 3, 4]
    for trial in searched.found:
        run = by_planned[trial.user_attrs["slot"]]
        assert run.data.tags["trial_state"] == trial.state.name
        assert run.data.params["train.lr"] == str(trial.params["train.lr"])
        assert not {"tracking.uri", "train.threads", "train.device"} & set(run.data.params)
        complete = trial.state == TrialState.COMPLETE
        assert run.info.status == ("FINISHED" if complete else "KILLED")
        assert run.data.metrics.get("objective") == (trial.values[0] if complete else None)
        points = searched.client.get_metric_history(run.info.run_id, "vs_units/validation/chrf")
        reported = {point.step // 2000 * 2000: point.value for point in points}
        assert {step: reported[step] for step in trial.intermediate_values} == trial.intermediate_values
    best_value = max(trial.values[0] for trial in searched.complete)
    assert parent.data.metrics["best_chrf"] == best_value
    assert parent.data.metrics["trials_complete"] == len(searched.complete)
    assert parent.data.tags["best_trial"] in {str(trial.number) for trial in searched.complete}


def test_pictures_and_tables_are_in_the_folder_and_in_mlflow(searched: Searched) -> None:
    (parent,) = runs(searched, "study")
    stored = {file.path for file in searched.client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "best.yaml", "optimization_history.png", "slice.png", "intermediate_values.png"} <= stored
    folder = searched.folder / "runs" / "tune" / "toy"
    assert all((folder / name).is_file() for name in stored)
    (entry,) = yaml.safe_load((folder / "best.yaml").read_text(encoding="utf-8"))["trials"]
    assert entry["command"].startswith("python -m train ")
    assert not list(folder.glob("trial-*/checkpoints"))


def test_what_is_told_counts_the_trials_and_names_the_best(searched: Searched) -> None:
    assert "5/5 trials done" in searched.told
    assert "toy: the best trials" in searched.told
    assert "Warning" not in searched.told


def test_a_study_that_is_done_is_left_as_it_is(searched: Searched) -> None:
    again = command(settings(searched.folder, "trials=5", "tracking.enabled=false"), searched.folder)
    _, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert len(trials(searched.folder)) == 5


def test_best_prints_the_command_that_trains_it(
    searched: Searched, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ["--storage", f"sqlite:///{searched.folder / 'optuna.db'}"]
    assert best(["--study", "toy", *storage]) == 0
    printed = capsys.readouterr().out
    assert f"train.lr={max(searched.complete, key=lambda trial: trial.values[0]).params['train.lr']!r}" in printed
    assert "study=toy/trial-" in printed
    with pytest.raises(ConfigError, match="there are: toy"):
        best(["--study", "other", *storage])
    with pytest.raises(ConfigError, match="does not exist"):
        best(["--study", "toy", *storage, "which=99"])
    with pytest.raises(ConfigError, match="'train' is not a setting"):
        best(["--study", "toy", *storage, "train"])
    assert best(["--study", "toy", *storage, "train.seed=7"]) == 0
    assert "train.seed=7" in capsys.readouterr().out


def test_another_trial_than_the_best_can_be_trained_whole(
    searched: Searched, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worst = min(searched.complete, key=lambda trial: trial.values[0])
    asked = ["--study", "toy", "--storage", f"sqlite:///{searched.folder / 'optuna.db'}", f"which={worst.number}"]
    own = ["tracking.enabled=false", "train.threads=1", "train.device=cpu"]
    assert best([*asked, "then=train", *own]) == 0
    bundle = open_bundle(capsys.readouterr().out.splitlines()[-1].removeprefix("bundle: "))
    assert bundle.manifest.provenance.study == f"toy/trial-{worst.number}"
    with pytest.raises(ConfigError, match="move it away"):
        search([*settings(searched.folder, "tracking.enabled=false"), f"storage=sqlite:///{here / 'other.db'}"])


def test_a_final_training_that_was_broken_off_goes_on_and_waits_for_a_signature_where_one_is_demanded(
    searched: Searched, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(searched.folder / "runs", here / "runs")
    shutil.copyfile(searched.folder / "optuna.db", here / "optuna.db")
    again = settings(searched.folder, "trials=5", f"tracking.uri=sqlite:///{searched.folder / 'mlflow.db'}")
    again += [f"storage=sqlite:///{here / 'optuna.db'}", "then=train"]
    (bundle,) = here.glob("runs/tune/toy/best-trial-*/bundle")
    shutil.rmtree(bundle)
    number = int(bundle.parent.name.removeprefix("best-trial-"))
    with (here / f"optuna.db.toy-final-{number}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert search(again) == 0
        assert f"another worker trains trial {number}; should it fail: python -m tune best" in capsys.readouterr().err
        assert not bundle.exists()
    public_key = write_key_pair(here).public
    monkeypatch.setenv("DRAGOMAN_PUBLIC_KEY", str(public_key))
    with pytest.raises(
        BundleError, match=r"sign runs/tune/toy/best-trial-\d+ --private-key FILE; and then: .*register"
    ):
        search(again)
    assert bundle.is_dir()
    monkeypatch.delenv("DRAGOMAN_PUBLIC_KEY")
    assert search(again) == 0
    assert "registered: translation-en-de/" in capsys.readouterr().out


def test_another_space_cannot_join(searched: Searched, here: Path) -> None:
    with pytest.raises(ConfigError, match=r"space\.train\.lr\.high"):
        search([*settings(searched.folder), "space.train.lr.high=0.2", "tracking.enabled=false"])


# A worker that is asked to stop uses up no retry.
@pytest.mark.parametrize(
    ("sent", "status", "retries"), [(signal.SIGKILL, -signal.SIGKILL, 1), (signal.SIGTERM, 143, 0)]
)
def test_the_trial_of_a_worker_that_ends_goes_on_from_its_checkpoint(
    tmp_path: Path, sent: signal.Signals, status: int, retries: int
) -> None:
    long = ["trial=[train.max_units=60000]", "trials=1", "tracking.enabled=false", "train.checkpoint_every_steps=10"]
    arguments = settings(tmp_path, *long, f"max_retries={retries}")
    first = command(arguments, tmp_path)
    wait_for(lambda: list(tmp_path.glob("runs/tune/toy/trial-0000/checkpoints/step-*")), first)
    first.send_signal(sent)
    first.communicate(timeout=60)
    assert first.returncode == status
    # Another machine may compute otherwise.
    second = command([*arguments, "train.device=auto"], tmp_path)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 0, told
    dead, retried = trials(tmp_path)
    assert (dead.state, retried.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert retried.params == dead.params
    assert retried.system_attrs["retry_history"] == [0]
    assert retried.user_attrs["resumed_from"]["folder"] == "trial-0000"
    assert retried.user_attrs["resumed_from"]["step"] > 0
    history = (tmp_path / "runs/tune/toy/trial-0001/history.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in history if "train/loss" in line]
    assert steps == sorted(set(steps))
    assert steps[0] == 5


def wait_for(true: Callable[[], object], process: Command) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_fold_validates_on_another_part_and_the_mean_is_the_objective(here: Path) -> None:
    assert search(settings(here, "trials=1", "folds=2", "tracking.enabled=false", "trial=[train.max_units=4000]")) == 0
    (trial,) = trials(here)
    scores = [fold["figures"]["chrf"] for fold in trial.user_attrs["folds_done"]]
    assert trial.values == pytest.approx([sum(scores) / 2])
    assert {step // 4000 for step in trial.intermediate_values if step % 4000} == {0, 1}
    corpora = [
        json.loads((here / f"runs/tune/toy/trial-0000/fold-{fold}/corpus.json").read_text(encoding="utf-8"))
        for fold in (1, 2)
    ]
    assert corpora[0]["fingerprint"] != corpora[1]["fingerprint"]


def test_two_objectives_end_with_a_front_and_a_limit_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = ["objectives=[chrf,size_mb]", "constraints={p95_latency_ms: 10000}", "pruner.kind=none"]
    varied = "space={model.num_heads: {kind: int, low: 2, high: 8, step: 2}}"
    assert search(settings(here, *two, varied, "trials=3", "tracking.enabled=false", "sampler.kind=random")) == 0
    found = trials(here)
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 3
    assert all(trial.constraints["p95_latency_ms"] < 0 for trial in found)
    assert len({trial.values[1] for trial in found}) > 1
    assert (here / "runs/tune/toy/pareto_front.png").is_file()
    storage = f"sqlite:///{here / 'optuna.db'}"
    assert best(["--study", "toy", "--storage", storage]) == 0
    assert "size_mb" in capsys.readouterr().out


def test_a_search_whose_trials_all_fail_gives_up_and_says_why(here: Path) -> None:
    broken = settings(here, "trials=9", "tracking.enabled=false", f"model.tokenizer_path={here / 'nowhere'}")
    with pytest.raises(InferenceError, match=r"3 trials in a row failed, the last with: DataError: .*nowhere"):
        search(broken)
    ended = [trial for trial in trials(here) if trial.state == TrialState.FAIL]
    assert [trial.number for trial in ended] == [0, 1, 2]
    assert all("nowhere" in trial.user_attrs["error"] for trial in ended)
    with pytest.raises(DataError, match="no complete trial"):
        best(["--study", "toy", "--storage", f"sqlite:///{here / 'optuna.db'}", "then=train"])


def test_hours_alone_plan_trials_until_they_are_over(here: Path) -> None:
    brief = ["trials=null", f"hours={4 / 3600}", "tracking.enabled=false", "trial=[train.max_units=1000]"]
    assert search(settings(here, *brief)) == 0
    found = trials(here)
    assert found
    assert [trial.user_attrs["slot"] for trial in found] == list(range(len(found)))


def test_no_run_of_a_trial_stays_open_should_there_be_two_and_its_objective_is_written_once(searched: Searched) -> None:
    client = searched.client
    record = TrackedStudy(tracking_uri=f"sqlite:///{searched.folder / 'mlflow.db'}", experiment="twins")
    parent = record.open_study(name="toy", token="t", facts={})
    record.open_trial(planned=0, number=0, retries=0, params={"train.lr": 0.1}).abandon()
    experiment = client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent, "kind": "trial", "slot": "0", "trial_state": "RUNNING"}
    client.create_run(experiment, tags=tags)
    assert record.running() == {0}
    state = PlannedTrial(number=0, state="COMPLETE", retries=0, values={"chrf": 50.0})
    for _ in range(2):
        record.settle({0: state})
    assert record.running() == set()
    for run in client.search_runs([experiment], "tags.kind = 'trial'"):
        assert run.info.status == "FINISHED"
        assert len(client.get_metric_history(run.info.run_id, "objective")) == 1


def test_the_database_of_mlflow_is_refused(here: Path) -> None:
    with pytest.raises(ConfigError, match="MLflow"):
        search(settings(here, f"tracking.uri=sqlite:///{here / 'optuna.db'}"))
