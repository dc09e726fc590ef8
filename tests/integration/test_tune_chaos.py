"""Workers that are killed at random moments, and a database that goes away: no trial is lost, doubled or left open.

More kills than a push can wait for: ``TUNE_KILLS=20 python -m pytest tests/integration/test_tune_chaos.py``.
"""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url

from dragoman.errors import ConfigError
from tests.forked import Command
from tests.integration.mlflow_server import free_port, mlflow_server
from tests.integration.postgres import Postgres
from tests.toy_corpus import write_toy_corpus
from tune.study.storage import ATTEMPTS_INDEX, open_storage

KILLS = int(os.environ.get("TUNE_KILLS", "5"))
WORKERS, TRIALS = 4, max(8, KILLS)
KILL_SPREAD_SECONDS = 4.0
STUDY = "chaos"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    # Not below pytest's own directory, which only its user may enter.
    with tempfile.TemporaryDirectory(prefix="dragoman-postgres-") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "server").mkdir()
        server = Postgres(Path(folder) / "server")
        try:
            yield server
        finally:
            server.stop("fast")


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as running:
        yield running.uri


def test_a_role_that_does_not_own_the_tables_reads_without_the_index_and_works_with_it(postgres: Postgres) -> None:
    owner, worker = (make_url(postgres.url).set(username=name) for name in ("tuner", "worker"))
    open_storage(owner).engine.dispose()
    engine = sqlalchemy.create_engine(owner)
    with engine.begin() as connection:
        for statement in (
            "CREATE ROLE worker LOGIN",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO worker",
            f"DROP INDEX {ATTEMPTS_INDEX}",
        ):
            connection.execute(sqlalchemy.text(statement))
    engine.dispose()
    assert open_storage(worker, reading=True).get_all_studies() == []
    with pytest.raises(ConfigError, match=r"worker may not create it .*let the owner .*CREATE UNIQUE INDEX"):
        open_storage(worker)
    open_storage(owner).engine.dispose()
    assert open_storage(worker).get_all_studies() == []


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Workers:
    """Processes of one command, restarted whenever they were killed."""

    def __init__(self, settings: list[str], folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._joined = dict.fromkeys(range(WORKERS), 0)
        self.processes = [self._start(index) for index in range(WORKERS)]

    def _start(self, index: int) -> Command:
        return Command("tune", self._settings, self._folder, log=self._folder / f"worker-{index}.log")

    def kill(self, index: int) -> bool:
        """Kill one and start it again; false when it has not joined yet, or has ended by itself."""
        joined = (self._folder / f"worker-{index}.log").read_text(errors="replace").count(" joined")
        if self.processes[index].poll() is not None or joined == self._joined[index]:
            return False
        self.processes[index].kill()
        self.processes[index].wait()
        self._joined[index] = joined
        self.processes[index] = self._start(index)
        return True

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self._folder.glob("*.log")))


@pytest.mark.timeout(900)
def test_killed_workers_and_a_restarted_database_lose_and_double_no_trial(
    postgres: Postgres, mlflow_uri: str, tmp_path: Path
) -> None:
    settings = [*search(tmp_path), f"storage={postgres.url}", f"tracking.uri={mlflow_uri}"]
    chooser = random.Random(3)
    workers = Workers(settings, tmp_path)
    try:
        restart_after, kills = KILLS // 2, 0
        until(lambda: len(trials(postgres)) >= TRIALS, 120)
        while kills < KILLS and any(process.poll() is None for process in workers.processes):
            time.sleep(chooser.uniform(0, KILL_SPREAD_SECONDS))  # the moment is what is random here
            kills += workers.kill(chooser.randrange(WORKERS))
            if kills == restart_after:
                restart_after = -1
                postgres.restart(down_seconds=1)
        for process in workers.processes:
            assert process.wait(300) == 0, workers.logs()
    finally:
        for process in workers.processes:
            process.kill()
    resumed = sum("resumed_from" in trial.user_attrs for trial in trials(postgres))
    states = dict(Counter(trial.state.name for trial in trials(postgres)))
    print(f"{kills} kills, 1 database restart: {states}, {resumed} went on from a checkpoint")
    assert kills == KILLS
    check_trials(trials(postgres))
    check_record(mlflow_uri, trials(postgres))


def search(folder: Path) -> list[str]:
    dropped = ("train.lr=", "train.validate_every_steps=", "train.checkpoint_every_steps=")
    settings = [text for text in write_toy_corpus(folder) if not text.startswith(dropped)]
    return [
        *settings,
        f"study={STUDY}",
        f"trials={TRIALS}",
        "settings=[]",
        "trial=[train.max_units=120000]",
        "final=[]",
        "report_every_units=10000",
        "train.checkpoint_every_steps=20",
        "train.log_every_steps=20",
        "pruner.warmup_units=50000",
        "space={train.lr: {kind: float, low: 0.001, high: 0.03, log: true}}",
        "heartbeat_seconds=2",
        # Kills that hit one trial again and again must not use up its attempts.
        "max_retries=50",
    ]


def trials(postgres: Postgres) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(postgres.url)
    try:
        return optuna.load_study(study_name=STUDY, storage=storage).get_trials()
    except KeyError:
        return []
    finally:
        storage.engine.dispose()


def check_trials(found: list[FrozenTrial]) -> None:
    assert not [trial for trial in found if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    ended = [trial for trial in found if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert Counter(trial.user_attrs["slot"] for trial in ended) == dict.fromkeys(range(TRIALS), 1)
    # What failed was killed, and has a successor: nothing went wrong by itself.
    assert [trial.user_attrs["error"] for trial in found if "error" in trial.user_attrs] == []
    assert len({trial.user_attrs["dragoman_attempt"] for trial in found}) == len(found)


def check_record(uri: str, found: list[FrozenTrial]) -> None:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("dragoman")
    runs = list(client.search_runs([experiment.experiment_id]))
    assert not [run for run in runs if run.info.status in ("RUNNING", "SCHEDULED")]
    (parent,) = [run for run in runs if run.data.tags["kind"] == "study"]
    children = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in children)
    assert sorted(int(run.data.tags["slot"]) for run in children) == list(range(TRIALS))
    states = {trial.user_attrs["slot"]: trial for trial in found if trial.state != TrialState.FAIL}
    for run in children:
        trial = states[int(run.data.tags["slot"])]
        assert run.data.tags["trial_state"] == trial.state.name
        complete = trial.state == TrialState.COMPLETE
        assert run.info.status == ("FINISHED" if complete else "KILLED")
        assert run.data.metrics.get("objective") == (trial.value if complete else None)
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "validation/chrf")]
        assert len(steps) == len(set(steps))
