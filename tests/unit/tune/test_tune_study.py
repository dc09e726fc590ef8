import shutil
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import OperationalError

from dragoman.errors import ConfigError, UnavailableError
from train.run.history import CurvePoint
from train.run.run_dir import RunDir
from tune.objective import Watcher
from tune.results.best import settings_of
from tune.results.final import alone, finished_elsewhere, note_finished
from tune.results.pictures import write_table
from tune.search.definition import load_definition
from tune.study import database
from tune.study.database import check, option, parse_url
from tune.study.heartbeat import BEAT, Heartbeat, TrialLostError
from tune.study.lock import exclusive
from tune.study.plan import Joined, join, listen, plan_trials, reconcile
from tune.study.planned_trials import (
    ERROR,
    HANDED_BACK,
    attempts_by_planned,
    best_trials,
    planned_trials,
    summary,
)
from tune.study.recorder import UnrecordedStudy
from tune.study.samplers import accepted, make_pruner, make_sampler, units_of_trial
from tune.study.storage import NothingWaitsError, open_storage

JoinStudy = Callable[..., Joined]


# Small, since every corner of a space is composed.
SPACE = (
    "space={train.lr: {kind: float, low: 0.0005, high: 0.01, log: true},"
    " train.label_smoothing: {kind: float, low: 0, high: 0.2, step: 0.05}}"
)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database with Optuna's tables, which take their time."""
    path = tmp_path_factory.mktemp("empty") / "optuna.db"
    open_storage(parse_url(f"sqlite:///{path}")).engine.dispose()
    return path


@pytest.fixture
def join_study(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JoinStudy:
    """Return a function that joins a study in a database of its own, without training anything."""
    monkeypatch.chdir(tmp_path)

    def joined(*arguments: str, database: str = "optuna.db") -> Joined:
        if not (tmp_path / database).exists():
            shutil.copyfile(empty_database, tmp_path / database)
        url = parse_url(f"sqlite:///{tmp_path / database}")
        definition = load_definition(["trials=3", "report_every_units=100000", SPACE, *arguments])
        return join(definition, open_storage(url), UnrecordedStudy())

    return joined


def claim(joined: Joined) -> Trial:
    return joined.study.ask()


def planned_states(joined: Joined) -> list[str]:
    found = planned_trials(joined.study.get_trials(), joined.objectives)
    return [found[planned].state for planned in sorted(found)]


def test_a_study_has_its_planned_trials_whoever_joins_and_the_first_is_the_default(join_study: JoinStudy) -> None:
    join_study()
    joined = join_study()
    assert sorted(attempts_by_planned(joined.study.get_trials())) == [0, 1, 2]
    assert joined.worker == 1
    first = claim(joined)
    assert first.suggest_float("train.lr", 0.0005, 0.01, log=True) == 0.002
    more = join_study("trials=5")
    assert sorted(attempts_by_planned(more.study.get_trials())) == [0, 1, 2, 3, 4]


def test_nothing_is_made_up_beyond_the_plan(join_study: JoinStudy) -> None:
    joined = join_study("trials=1")
    claim(joined)
    with pytest.raises(NothingWaitsError):
        claim(joined)


def test_another_space_is_refused_with_the_differences(join_study: JoinStudy) -> None:
    join_study()
    with pytest.raises(ConfigError, match=r"space\.train\.lr\.high is 0\.01 there and 0\.02 here"):
        join_study("space.train.lr.high=0.02")
    with pytest.raises(ConfigError, match="report_every_units is 100000 there and 50000 here"):
        join_study("report_every_units=50000")


def test_workers_that_would_train_the_best_settings_otherwise_are_refused(join_study: JoinStudy) -> None:
    join_study()
    with pytest.raises(ConfigError, match=r"final is .*max_minutes=2.* there and .*max_minutes=9.* here"):
        join_study("final=[train.max_minutes=9]")


def test_what_is_a_workers_own_stays_out_of_the_study(join_study: JoinStudy) -> None:
    joined = join_study("tracking.uri=postgresql://u:secret@host/db", "train.device=cpu")
    trial = claim(joined)
    joined.study.tell(trial, 50.0)
    command = settings_of(joined.study, joined.study.get_trials()[0])
    assert not [text for text in command if text.startswith(("tracking.", "train.device"))]
    assert "train.max_minutes=2" in command
    assert "secret" not in str(joined.study.user_attrs)


def test_a_study_of_the_same_name_does_not_go_on_in_the_folder_of_another(
    tmp_path: Path, join_study: JoinStudy
) -> None:
    join_study()
    join_study()
    with pytest.raises(ConfigError, match=r"holds another study named .*; move it away"):
        join_study(database="other.db")
    join_study("study=new", database="other.db")
    (tmp_path / "runs" / "tune" / "old" / "trial-0000").mkdir(parents=True)
    with pytest.raises(ConfigError, match="runs/tune/old holds another study"):
        join_study("study=old")


def test_a_foreign_study_is_refused(tmp_path: Path, join_study: JoinStudy) -> None:
    join_study("study=other")
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'optuna.db'}", study_name="phrasebook-t5-tiny")
    study.add_trial(optuna.create_trial(value=1.0))
    study._storage.remove_session()
    with pytest.raises(ConfigError, match="was not made by python -m tune"):
        join_study()


def test_a_killed_trial_is_tried_again_with_the_same_settings_until_its_retries_are_spent(
    join_study: JoinStudy,
) -> None:
    joined = join_study("trials=1", "max_retries=2")
    settings = []
    for attempt in range(3):
        trial = claim(joined)
        settings.append(trial.suggest_float("train.label_smoothing", 0, 0.2, step=0.05))
        assert joined.storage.get_trial_system_attrs(trial._trial_id).get("retry_history", []) == list(range(attempt))
        joined.study.tell(trial, state=TrialState.FAIL)
        reconcile(joined)
    assert len(set(settings)) == 1
    (state,) = planned_trials(joined.study.get_trials(), joined.objectives).values()
    assert (state.state, state.retries, state.error) == ("FAIL", 2, None)
    reconcile(joined)
    assert len(joined.study.get_trials()) == 3


def test_an_attempt_that_was_handed_back_uses_up_no_retry(join_study: JoinStudy) -> None:
    joined = join_study("trials=1", "max_retries=1")
    for polite in (True, True, False, True):
        trial = claim(joined)
        if polite:
            trial.set_user_attr(HANDED_BACK, [*trial.user_attrs.get(HANDED_BACK, []), trial.number])
        joined.study.tell(trial, state=TrialState.FAIL)
        reconcile(joined)
        assert planned_states(joined) == ["WAITING"]
    joined.study.tell(claim(joined), state=TrialState.FAIL)
    reconcile(joined)
    assert planned_states(joined) == ["FAIL"]


def test_a_trial_that_failed_by_itself_is_not_tried_again(join_study: JoinStudy) -> None:
    joined = join_study("trials=1")
    trial = claim(joined)
    trial.set_user_attr(ERROR, "NonFiniteLossError: the loss is nan")
    joined.study.tell(trial, state=TrialState.FAIL)
    reconcile(joined)
    assert planned_states(joined) == ["FAIL"]
    assert len(joined.study.get_trials()) == 1


def test_an_attempt_is_planned_once_however_often_it_is_asked_for(join_study: JoinStudy) -> None:
    joined, other = join_study("trials=1"), join_study("trials=1")
    joined.study.tell(claim(joined), state=TrialState.FAIL)
    dead = joined.study.get_trials()[0]
    with accepted():
        retry = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3)
    retry(joined.study, dead)
    retry(other.study, dead)
    assert [trial.state.name for trial in other.study.get_trials()] == ["FAIL", "WAITING"]
    plan_trials(other, 1)
    assert len(other.study.get_trials()) == 2


def test_a_trial_that_never_gave_a_sign_of_life_is_found(join_study: JoinStudy, monkeypatch: Any) -> None:
    joined = join_study("trials=1", "heartbeat_seconds=1")
    claim(joined)
    reconcile(joined)
    assert planned_states(joined) == ["RUNNING"]
    later = time.monotonic() + joined.definition.search.grace_seconds + 1
    monkeypatch.setattr("tune.study.plan.time.monotonic", lambda: later)
    reconcile(joined)
    assert planned_states(joined) == ["WAITING"]


def test_a_trial_whose_worker_fell_silent_is_found_but_not_right_after_the_database_was_away(
    join_study: JoinStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = join_study("trials=1")
    trial = claim(joined)
    trial.set_user_attr(BEAT, 1)
    reconcile(joined)
    assert planned_states(joined) == ["RUNNING"]
    later = time.monotonic() + joined.definition.search.grace_seconds + 1
    monkeypatch.setattr("tune.study.plan.time.monotonic", lambda: later)
    joined.storage.last_trouble = later
    reconcile(joined)
    assert planned_states(joined) == ["RUNNING"]
    joined.storage.last_trouble = float("-inf")
    trial.set_user_attr(BEAT, 2)
    reconcile(joined)
    assert planned_states(joined) == ["RUNNING"]
    monkeypatch.setattr("tune.study.plan.time.monotonic", lambda: later + joined.definition.search.grace_seconds + 1)
    reconcile(joined)
    assert planned_states(joined) == ["WAITING"]
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(1.0, 1)


def test_a_worker_listens_to_the_others_while_it_trains(join_study: JoinStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = join_study("trials=2")
    other, own = claim(joined), claim(joined)
    other.set_user_attr(BEAT, 1)
    reconcile(joined)
    other.set_user_attr(BEAT, 2)  # its last
    listened = threading.Event()

    def listening() -> None:
        listen(joined)
        listened.set()

    with Heartbeat(own, every_seconds=0.01, listen=listening):
        assert listened.wait(30)
        later = time.monotonic() + joined.definition.search.grace_seconds + 1
        monkeypatch.setattr("tune.study.plan.time.monotonic", lambda: later)
        for _ in range(2):  # the first may have begun by the old clock
            listened.clear()
            assert listened.wait(30)
        reconcile(joined)
    assert [trial.state.name for trial in joined.study.get_trials()] == ["FAIL", "RUNNING", "WAITING"]


def test_a_worker_that_was_taken_for_dead_learns_it(join_study: JoinStudy) -> None:
    joined = join_study("trials=1")
    trial = claim(joined)
    with Heartbeat(trial, every_seconds=0.01) as heart:
        heart.check()
        joined.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        time.sleep(0.05)  # longer than two beats, so that the next check looks for itself
        with pytest.raises(TrialLostError):
            heart.check()


def test_a_pruned_trial_is_not_the_best_nor_are_its_reports_a_result(join_study: JoinStudy, tmp_path: Path) -> None:
    joined = join_study("trials=3", "constraints={size_mb: 5}")
    pruned, big, small = claim(joined), claim(joined), claim(joined)
    pruned.report(99.0, 100_000)
    joined.study.tell(pruned, state=TrialState.PRUNED)
    big.set_constraint("size_mb", 1.0)
    joined.study.tell(big, 80.0)
    small.set_constraint("size_mb", -1.0)
    joined.study.tell(small, 60.0)
    assert [trial.number for trial in best_trials(joined.study)] == [small.number]
    found = summary(joined.study, joined.objectives)
    assert found.best_values == {"chrf": 60.0}
    assert found.counts == {"PRUNED": 1, "COMPLETE": 2}
    assert found.finished == 3
    table = write_table(joined.study, tmp_path / "trials.csv", joined.objectives).read_text(encoding="utf-8")
    assert ",99" not in table


def test_the_front_of_two_objectives_goes_from_high_to_low_chrf(join_study: JoinStudy) -> None:
    joined = join_study("objectives=[chrf,size_mb]", "pruner.kind=none", "trials=3")
    for values in ([50.0, 1.0], [60.0, 3.0], [55.0, 4.0]):
        joined.study.tell(claim(joined), values)
    assert [trial.values for trial in best_trials(joined.study)] == [[60.0, 3.0], [50.0, 1.0]]


def test_a_front_whose_first_objective_is_to_fall_begins_with_the_least(join_study: JoinStudy) -> None:
    joined = join_study("objectives=[loss,size_mb]", "pruner.kind=none", "trials=3")
    for values in ([5.0, 1.0], [6.0, 0.5], [5.5, 4.0]):
        joined.study.tell(claim(joined), values)
    assert [trial.values for trial in best_trials(joined.study)] == [[5.0, 1.0], [6.0, 0.5]]


def report(units: int, chrf: float, *, validation: bool = True) -> CurvePoint:
    figures = {"validation/chrf": chrf} if validation else {"train/loss": 1.0}
    return CurvePoint(step=1, units=units, elapsed_seconds=0, progress=0, figures=figures, validation=validation)


class Alive(Heartbeat):
    def __init__(self) -> None:
        """Send no heartbeats, and never lose the trial."""

    def check(self) -> None:
        """Find the trial unharmed."""


def test_reports_are_steps_of_units_on_a_common_grid_and_go_on_over_the_folds(join_study: JoinStudy) -> None:
    joined = join_study("folds=2", "trial=[train.max_units=250000]")
    trial = claim(joined)
    watcher = Watcher(joined, trial, Alive())
    for point in (report(90_000, 1), report(100_512, 2), report(150_000, 9, validation=False), report(203_000, 3)):
        watcher.watch(point)
    watcher.watch(report(250_100, 4))  # the end of training, not on the grid
    first = {"figures": {"chrf": 4.0}, "reports": watcher.reports}
    watcher.begin(1)
    watcher.watch(report(100_001, 5))
    expected = {100_000: 2.0, 200_000: 3.0, 400_000: 5.0}
    assert joined.study.get_trials()[0].intermediate_values == expected
    again = claim(joined)
    Watcher(joined, again, Alive()).repeat(first)
    assert joined.study.get_trials()[again.number].intermediate_values == {100_000: 2.0, 200_000: 3.0}


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["pruner={kind: median, startup_trials: 3, warmup_units: 7}"], MedianPruner),
        (["pruner={kind: hyperband}"], HyperbandPruner),
        (["pruner={kind: wilcoxon}", "folds=5"], WilcoxonPruner),
        (["pruner={kind: none}"], NopPruner),
    ],
)
def test_the_pruner_is_the_one_asked_for(arguments: list[str], kind: type) -> None:
    assert type(make_pruner(load_definition(arguments))) is kind


def test_hyperband_counts_units_up_to_the_end_of_a_trial() -> None:
    definition = load_definition(
        ["pruner={kind: hyperband}", "report_every_units=100000", "trial=[train.max_units=750000]"]
    )
    assert units_of_trial(definition) == 800_000
    pruner = make_pruner(definition)
    assert isinstance(pruner, HyperbandPruner)
    assert (pruner._min_resource, pruner._max_resource) == (100_000, 800_000)


@pytest.mark.parametrize("kind", ["tpe", "gp", "random"])
def test_each_worker_has_a_seed_of_its_own_and_the_same_one_again(kind: str) -> None:
    definition = load_definition([f"sampler.kind={kind}"])

    def first(worker: int) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(sampler=make_sampler(definition, worker))
        return study.ask().suggest_float("x", 0, 1)

    assert first(0) == first(0)
    assert first(0) != first(1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "is no database URL; accepted are sqlite:///PATH"),
        ("redis://host/0", "accepted are sqlite:///PATH"),
        ("mysql://user:secret@host/db", "is of the kind 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("postgresql://host", "names no database"),
        ("postgresql://host:abc/db", "is no database URL"),
        ("postgresql://tuner:secret@host:abc/db", "is no database URL"),
    ],
)
def test_a_wrong_storage_is_refused_with_what_is_accepted(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_url(text)
    assert told in str(error.value)
    assert "secret" not in str(error.value)


def test_a_database_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(database, "WAITS_SECONDS", (0.0, 0.0))
    with pytest.raises(UnavailableError, match="does not answer") as error:
        check(parse_url("postgresql://tuner:secret@127.0.0.1:1/optuna"), None)
    told = capsys.readouterr().err
    assert told.count("again in") == 2
    assert "127.0.0.1:1/optuna" in told
    assert "secret" not in told + str(error.value)


def test_a_file_that_is_no_database_and_a_directory_that_is_missing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("hello")
    with pytest.raises(ConfigError, match="no SQLite database"):
        check(parse_url(f"sqlite:///{tmp_path / 'text.db'}"), None)
    with pytest.raises(ConfigError, match="does not exist"):
        check(parse_url(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}"), None)


def test_reading_a_study_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no database .*none\.db; give the storage"):
        check(parse_url(f"sqlite:///{tmp_path / 'none.db'}"), None, create=False)
    assert not (tmp_path / "none.db").exists()


def test_a_storage_is_named_as_it_can_be_typed_again_and_without_its_password() -> None:
    assert option(parse_url("postgresql://tuner:secret@db:5433/optuna?sslmode=require")) == (
        "--storage 'postgresql+psycopg2://tuner@db:5433/optuna?sslmode=require'"
    )
    assert parse_url(option(parse_url("sqlite:///a b.db")).split("'")[1]) == parse_url("sqlite:///a b.db")


@pytest.mark.parametrize(
    ("storage", "tracking", "same"),
    [
        ("postgresql://a:b@localhost/db", "postgresql+psycopg2://c@127.0.0.1:5432/db", True),
        ("postgresql://a@host/db", "postgresql://a@HOST:5432/db", True),
        ("postgresql://a@host/db", "postgresql://a@host/other", False),
        ("postgresql://a@host/db", "http://host:5000", False),
        ("sqlite:///x/../mlflow.db", "sqlite:///mlflow.db", True),
        ("sqlite:///optuna.db", "sqlite:///mlflow.db", False),
    ],
)
def test_one_database_is_recognized_however_its_url_is_written(storage: str, tracking: str, same: bool) -> None:
    assert (database._identity(parse_url(storage)) == database._identity_of_text(tracking)) == same


def test_the_database_of_mlflow_is_refused_by_its_url_and_by_its_tables(tmp_path: Path) -> None:
    url = parse_url(f"sqlite:///{tmp_path / 'both.db'}")
    with pytest.raises(ConfigError, match="alembic_version"):
        check(url, f"sqlite:///{tmp_path / 'both.db'}")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for table in ("experiments", "registered_models"):
            connection.execute(sqlalchemy.text(f"CREATE TABLE {table} (id INTEGER)"))
    engine.dispose()
    with pytest.raises(ConfigError, match="is MLflow's database"):
        check(url, "http://elsewhere:5000")


def lost_connection() -> StorageInternalError:
    error = StorageInternalError("lost")
    error.__cause__ = OperationalError("COMMIT", {}, Exception("database is locked"))
    return error


def test_an_end_whose_confirmation_was_lost_is_not_told_twice(
    join_study: JoinStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = join_study("trials=1")
    trial = claim(joined)
    plain, calls = optuna.storages.RDBStorage.set_trial_state_values, []

    def lossy(self: optuna.storages.RDBStorage, *arguments: Any, **named: Any) -> bool:
        done = plain(self, *arguments, **named)
        calls.append(arguments)
        if len(calls) == 1:
            raise lost_connection()
        return done

    monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_state_values", lossy)
    joined.study.tell(trial, 42.0)
    (found,) = joined.study.get_trials()
    assert (found.state, found.value) == (TrialState.COMPLETE, 42.0)
    assert time.monotonic() - joined.storage.last_trouble < 60


def test_a_creation_whose_confirmation_was_lost_makes_one_trial(
    join_study: JoinStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = join_study("trials=1")
    plain, calls = optuna.storages._CachedStorage.create_new_trial, []

    def lossy(self: optuna.storages._CachedStorage, *arguments: Any) -> Any:
        calls.append(arguments)
        done = plain(self, *arguments)
        if len(calls) == 1:
            raise lost_connection()
        return done

    monkeypatch.setattr(optuna.storages._CachedStorage, "create_new_trial", lossy)
    plan_trials(joined, 2)
    assert len(calls) == 2
    assert len(joined.study.get_trials()) == 2


@pytest.mark.parametrize("statement", ["CREATE TABLE studies", "CREATE UNIQUE INDEX"])
def test_a_database_that_goes_away_while_it_is_opened_is_waited_for(
    statement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = []

    def fail_once(connection: object, cursor: object, text: str, *rest: object) -> None:
        if statement in text and not failed:
            failed.append(text)
            raise OperationalError(text, {}, Exception("database is locked"))

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", fail_once)
    try:
        storage = open_storage(parse_url(f"sqlite:///{tmp_path / 'optuna.db'}"))
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", fail_once)
    assert failed
    assert "does not answer (database is locked); waiting for it" in capsys.readouterr().err
    assert storage.get_all_studies() == []


def test_an_error_that_waiting_does_not_repair_is_raised_at_once(join_study: JoinStudy) -> None:
    joined = join_study("trials=1")
    with joined.storage.engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE trial_user_attributes"))
    started = time.monotonic()
    with pytest.raises((StorageInternalError, OperationalError)):
        joined.storage.set_trial_user_attr(1, "key", "value")
    assert time.monotonic() - started < 5


def test_a_storage_that_stays_away_is_told_without_its_password_and_waited_for_once(
    join_study: JoinStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = join_study("trials=1").storage
    monkeypatch.setattr("tune.study.storage.PATIENCE_SECONDS", 0.3)
    calls = []

    def lost() -> None:
        calls.append(time.monotonic())
        raise lost_connection()

    with pytest.raises(UnavailableError, match=r"does not answer \(.*locked"):
        storage._retry(lost)
    assert len(calls) > 1
    calls.clear()
    with pytest.raises(UnavailableError):
        storage._retry(lost)
    assert len(calls) == 1
    has_session = storage._plain.scoped_session.registry.has
    assert not has_session()
    storage.remove_session()  # needs no database
    assert storage.patience_seconds == 0
    storage.get_all_studies()
    assert storage.patience_seconds == 0.3
    assert has_session()
    storage.remove_session()
    assert not has_session()


def test_a_lock_of_a_database_that_is_away_is_told_without_its_password() -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg2://tuner:secret@127.0.0.1:1/optuna")
    with (
        pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1/optuna does not answer") as error,
        exclusive(engine, "a", 0),
    ):
        pass
    assert "secret" not in str(error.value)


def test_the_final_training_of_a_trial_is_one_process_at_a_time(join_study: JoinStudy) -> None:
    joined = join_study("trials=1")
    with alone(joined.storage, joined.study, 3) as first:
        with alone(joined.storage, joined.study, 3) as second, alone(joined.storage, joined.study, 4) as other:
            assert (first, second, other) == (True, False, True)
        with joined.locked():
            pass  # the study itself stays free
    with alone(joined.storage, joined.study, 3) as again:
        assert again


def test_a_final_training_is_over_for_its_trial_alone(join_study: JoinStudy, tmp_path: Path) -> None:
    joined = join_study("trials=2")
    joined.study.tell(claim(joined), 40.0)
    joined.study.tell(claim(joined), 50.0)
    first, better = joined.study.get_trials()
    assert finished_elsewhere(joined, first) is None
    note_finished(joined, first, RunDir(tmp_path / "run"))
    assert str(finished_elsewhere(joined, first)).endswith(str(tmp_path / "run" / "bundle"))
    assert finished_elsewhere(joined, better) is None
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    assert finished_elsewhere(joined, first) is None
