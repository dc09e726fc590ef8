"""Whole studies, with a formula in the place of training."""

import fcntl
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from dragoman.errors import UnavailableError
from tests.toy_corpus import write_toy_corpus
from train.config.settings import Config
from train.fitting.trial import Fitted
from train.run.history import CurvePoint
from tune.corpora import Corpora
from tune.results.display import SearchDisplay
from tune.search.definition import load_definition
from tune.study.database import parse_url
from tune.study.plan import Joined, join
from tune.study.planned_trials import HANDED_BACK, best_trials
from tune.study.recorder import PlannedTrial, StudyRecord, Summary, TrialRecorder, UnrecordedStudy, UnrecordedTrial
from tune.study.storage import open_storage
from tune.worker import Worker

BEST_LR = 10**-2.5
SPACE = "space={train.lr: {kind: float, low: 0.0003, high: 0.03, log: true}}"

Start = Callable[..., tuple[Joined, Worker]]


def score(lr: float) -> float:
    return 50 - 20 * math.log10(lr / BEST_LR) ** 2


def formula(config: Config, path: Path, recorder: Any, *, watch: Any, **rest: Any) -> Fitted:
    """Report validations that rise evenly to the score of the learning rate."""
    assert config.train.max_units is not None
    assert config.train.validate_every_units is not None
    for units in range(config.train.validate_every_units, config.train.max_units + 1, 1000):
        figures = {"validation/chrf": score(config.train.lr) * units / config.train.max_units}
        watch(CurvePoint(step=units, units=units, elapsed_seconds=0, progress=0, figures=figures, validation=True))
    return Fitted(figures={"chrf": score(config.train.lr)}, stopped=0, fitting=None, config=config)  # type: ignore[arg-type]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tune.objective.run_trial", formula)
    monkeypatch.setattr("tune.worker.draw", lambda *arguments: [])
    corpus = [text for text in write_toy_corpus(tmp_path) if text.startswith("data")]
    lengths = ["report_every_units=1000", "trial=[train.max_units=4000]", "final=[]", "settings=[]"]
    fixed = [*corpus, *lengths, SPACE, "pruner={kind: none}", "heartbeat_seconds=5"]

    def started(*arguments: str, record: StudyRecord | None = None) -> tuple[Joined, Worker]:
        definition = load_definition([*fixed, *arguments])
        storage = open_storage(parse_url(f"sqlite:///{tmp_path / 'o.db'}"))
        joined = join(definition, storage, record or UnrecordedStudy())
        display = SearchDisplay(study="s", planned=definition.search.trials, hours=None)
        return joined, Worker(joined, Corpora(definition.search.folds), display)

    return started


def states(joined: Joined) -> list[TrialState]:
    return [trial.state for trial in joined.study.get_trials()]


def test_a_gaussian_process_learns_from_its_start_up_trials(start: Start) -> None:
    joined, worker = start("trials=8", "sampler={kind: gp, startup_trials: 4}", "trial=[train.max_units=1000]")
    assert worker.run() == 0
    distances = [abs(math.log10(trial.params["train.lr"] / BEST_LR)) for trial in joined.study.get_trials()]
    assert min(distances[4:]) < min(distances[:4])
    assert min(distances) < 0.05


def test_hyperband_stops_trials_early_and_lets_the_best_end(start: Start) -> None:
    arguments = ["sampler={kind: random, seed: 1}", "pruner={kind: hyperband, reduction_factor: 2}"]
    joined, worker = start("trials=10", *arguments)
    assert worker.run() == 0
    found = states(joined)
    assert TrialState.PRUNED in found
    assert set(found) == {TrialState.PRUNED, TrialState.COMPLETE}
    (best,) = best_trials(joined.study)
    assert best.value == max(score(trial.params["train.lr"]) for trial in joined.study.get_trials())


def test_wilcoxons_test_stops_a_trial_that_is_worse_on_every_fold(start: Start) -> None:
    arguments = [
        "folds=5",
        "trial=[train.max_units=1000]",
        "pruner={kind: wilcoxon}",
        "sampler={kind: random, seed: 3}",
    ]
    joined, worker = start("trials=4", *arguments)
    assert worker.run() == 0
    pruned = [trial for trial in joined.study.get_trials() if trial.state == TrialState.PRUNED]
    assert pruned
    # Four differences of one sign are the fewest whose p-value is below 0.1.
    assert [sorted(trial.intermediate_values) for trial in pruned] == [[0, 1, 2, 3]] * len(pruned)


class Notes(UnrecordedStudy):
    """A record that remembers its calls, and the state of the trials when one was abandoned."""

    def __init__(self) -> None:
        self.joined: Joined | None = None
        self.left: list[TrialState] = []
        self.finished: list[int] = []
        self.params: Mapping[str, object] = {}
        self.locked: list[bool] = []
        self.gone = False

    def open_trial(self, *, planned: int, number: int, retries: int, params: Mapping[str, object]) -> TrialRecorder:
        notes, self.params = self, params
        self.locked.append(is_locked(Path("o.db.lock")))

        class Trial(UnrecordedTrial):
            def abandon(self) -> None:
                assert notes.joined is not None
                notes.left += states(notes.joined)

        return Trial()

    def settle(self, trials: Mapping[int, PlannedTrial]) -> None:
        self.locked.append(is_locked(Path("o.db.lock")))

    def summarize(self, summary: Summary) -> None:
        if self.gone:
            raise UnavailableError("the record does not answer")

    def finish(self, *, waiting: int, files: Sequence[Path]) -> None:
        self.finished.append(waiting)


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_records_of_trials_are_opened_and_settled_by_one_worker_at_a_time(start: Start) -> None:
    notes = Notes()
    _, worker = start("trials=1", record=notes)
    assert worker.run() == 0
    assert len(notes.locked) > 2
    assert all(notes.locked)


def unreachable(*arguments: Any, **named: Any) -> Fitted:
    raise UnavailableError("the hub does not answer")


def test_a_trial_that_its_worker_cannot_go_on_with_waits_for_another_before_its_record_is_left(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    joined, worker = start("trials=1", "max_retries=0", "train.threads=2", record=notes)
    notes.joined = joined
    monkeypatch.setattr("tune.objective.run_trial", unreachable)
    with pytest.raises(UnavailableError, match="the hub"):
        worker.run()
    assert notes.left == [TrialState.FAIL]
    assert states(joined) == [TrialState.FAIL, TrialState.WAITING]
    assert joined.study.get_trials()[1].user_attrs[HANDED_BACK] == [0]
    assert notes.finished == [1]
    assert "train.lr" in notes.params
    assert not [name for name in notes.params if name.startswith(("tracking.", "train.threads", "train.device"))]


def test_what_ended_a_worker_is_told_though_its_record_is_away_too(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()
    joined, worker = start("trials=1", record=notes)
    notes.joined = joined

    def interrupted(*arguments: Any, **named: Any) -> Fitted:
        notes.gone = True
        raise KeyboardInterrupt

    monkeypatch.setattr("tune.objective.run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.run()
    assert "could not be left in order: the record does not answer" in caplog.text
    assert states(joined) == [TrialState.FAIL, TrialState.WAITING]


def test_a_program_error_leaves_the_study_in_order(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    joined, worker = start("trials=1", record=notes)

    def broken(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("never foreseen")

    monkeypatch.setattr("tune.worker.running_elsewhere", broken)
    with pytest.raises(RuntimeError, match="never foreseen"):
        worker.run()
    assert states(joined) == [TrialState.COMPLETE]
    assert notes.finished == [0]
