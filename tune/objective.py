"""One attempt at a trial: training with the settings a sampler proposes, watched by the pruner, and measuring."""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from optuna import TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from dragoman.errors import DragomanError
from dragoman.latency import latencies_ms, p95
from dragoman.predictor import load
from train.config.compose import compose_config, flatten
from train.config.settings import Config
from train.data.corpus import CleanCorpus
from train.fitting.trial import Fitted, run_trial
from train.run.history import CurvePoint
from train.run.progress import Display
from train.run.recorder import Recorder
from tune.corpora import Corpora
from tune.search.definition import of_the_worker, trial_settings
from tune.search.settings import WilcoxonSettings
from tune.search.space import suggest
from tune.study.folder import inherit, last_step, trial_folder
from tune.study.heartbeat import Heartbeat, TrialLostError
from tune.study.plan import Joined
from tune.study.planned_trials import planned_number
from tune.study.recorder import TrialRecorder
from tune.study.samplers import units_of_trial

FOLDS_DONE, RESUMED = "folds_done", "resumed_from"
# Enough for a 95th percentile with three items above it, in seconds on a CPU.
WARM_UP_ITEMS, TIMED_ITEMS = 5, 60


class StoppedError(Exception):
    """A signal that ended the trial after its checkpoint; ``status`` is the exit status it asks for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"stopped by signal {status - 128}")
        self.status = status


@dataclass(kw_only=True)
class TrialRun:
    """One attempt at a trial; ``recorder`` is there once the settings were found right."""

    joined: Joined
    trial: Trial
    corpora: Corpora
    display: Display
    heart: Heartbeat
    recorder: TrialRecorder | None = None
    history: list[int] = field(default_factory=list)
    """The numbers of the attempts before this one, once ``values`` has read them."""

    def values(self) -> list[float]:
        """Train and measure; raises TrialPruned, TrialLostError, StoppedError, or what was wrong with the settings."""
        joined, trial, definition = self.joined, self.trial, self.joined.definition
        config = compose_config(trial_settings(definition.search, suggest(definition.space, trial)))
        study = joined.study.study_name
        stored = joined.study.get_trials(deepcopy=False)[trial.number]
        self.history, known = stored.system_attrs.get("retry_history", []), dict(stored.constraints)
        folder = trial_folder(study, trial.number)
        ancestor = inherit(folder, [trial_folder(study, number) for number in self.history], config)
        if ancestor is not None:
            trial.set_user_attr(RESUMED, {"folder": ancestor.name, "step": last_step(folder)})
        # The next attempt may be another machine's, and MLflow lets nobody change a parameter.
        params = {key: value for key, value in flatten(config).items() if not of_the_worker(key)}
        with joined.locked():
            self.heart.check()
            self.recorder = joined.record.open_trial(
                planned=planned_number(trial), number=trial.number, retries=len(self.history), params=params
            )
        measured = self._measured(config, folder)
        for name, limit in definition.constraints.items():
            # An attempt that died at the very end may have noted it already, and its successor inherits it.
            if name not in known:
                trial.set_constraint(name, measured[name] - limit)
        return [measured[name] for name in joined.objectives]

    def _measured(self, config: Config, folder: Path) -> dict[str, float]:
        corpora = self.corpora.folds(config)
        done: list[dict[str, Any]] = list(self.trial.user_attrs.get(FOLDS_DONE, []))
        watcher = Watcher(self.joined, self.trial, self.heart)
        for fold, corpus in enumerate(corpora):
            watcher.begin(fold)
            if fold < len(done):
                watcher.repeat(done[fold])
                continue
            part = "" if len(corpora) == 1 else f"fold-{fold + 1}"
            fitted = self._fit(config, folder, part, corpus, watcher)
            last = fold == len(corpora) - 1
            others = self._packaged(fitted, corpus) if last else {}
            done.append({"figures": dict(fitted.figures), "reports": watcher.reports, "others": others})
            self.trial.set_user_attr(FOLDS_DONE, done)
            watcher.fold_ended(done[-1])
        means = {name: sum(fold["figures"][name] for fold in done) / len(done) for name in done[-1]["figures"]}
        return {**means, **done[-1]["others"]}

    def _fit(self, config: Config, folder: Path, part: str, corpus: CleanCorpus, watcher: "Watcher") -> Fitted:
        assert self.recorder is not None
        guarded = cast(Recorder, GuardedRecorder(self.recorder, self.heart, f"{part}/" if part else ""))
        fitted = run_trial(config, folder / part, guarded, corpus=corpus, watch=watcher.watch, display=self.display)
        if fitted.stopped:
            raise StoppedError(fitted.stopped)
        return fitted

    def _packaged(self, fitted: Fitted, corpus: CleanCorpus) -> dict[str, float]:
        """Measure the model as it would be served."""
        asked = self.joined.definition.packaged
        found: dict[str, float] = {}
        if not asked:
            return found
        with tempfile.TemporaryDirectory(prefix="dragoman-trial-") as scratch:
            bundle = fitted.export(Path(scratch) / "bundle")
            if "size_mb" in asked:
                found["size_mb"] = sum(file.bytes for file in bundle.manifest.files) / 1e6
            if "p95_latency_ms" in asked:
                items = [item for item, _ in corpus.splits.validation]
                # A bundle object, not its path: it was written here a moment ago, and nobody can have signed it.
                with closing(load(bundle, device="cpu")) as predictor:
                    latencies_ms(predictor, items[:WARM_UP_ITEMS])
                    timed = latencies_ms(predictor, items[:TIMED_ITEMS])
                if not timed:
                    raise DragomanError("the packaged model refused every validation item, so its latency is unknown")
                found["p95_latency_ms"] = p95(timed)
        return found


class Watcher:
    """The pruner's view of a trial: its validations, as steps counted in units over all folds."""

    def __init__(self, joined: Joined, trial: Trial, heart: Heartbeat) -> None:
        self._trial, self._heart = trial, heart
        self._figure = joined.definition.pruned_by
        self._every = joined.definition.search.report_every_units
        self._fold_units = units_of_trial(joined.definition)
        self._by_fold = isinstance(joined.definition.search.pruner, WilcoxonSettings)
        # Optuna knows intermediate values, and pruning, for one objective only.
        self._mute = len(joined.objectives) > 1
        self._fold, self._told = 0, set[int]()
        self.reports: list[tuple[int, float]] = []

    def begin(self, fold: int) -> None:
        """Start counting the steps of a fold."""
        self._fold, self.reports = fold, []

    def watch(self, report: CurvePoint) -> None:
        """Report a validation; the steps are a grid of units, on which trials of all batch sizes can be compared."""
        self._heart.check()
        units = report.units // self._every * self._every
        if report.validation and units and not self._by_fold:
            self._tell(self._fold * self._fold_units + units, report.figures[f"validation/{self._figure}"])

    def fold_ended(self, done: Mapping[str, Any]) -> None:
        """Report the end of a fold, which is what Wilcoxon's test compares."""
        if self._by_fold:
            self._tell(self._fold, done["figures"][self._figure])

    def repeat(self, done: Mapping[str, Any]) -> None:
        """Report a fold that an earlier attempt has finished."""
        for step, value in done["reports"]:
            self._tell(step, value)
        self.fold_ended(done)

    def _tell(self, step: int, value: float) -> None:
        if self._mute or step in self._told:
            return
        self._told.add(step)
        self.reports.append((step, value))
        try:
            self._trial.report(value, step)
        except UpdateFinishedTrialError as error:
            raise TrialLostError from error
        if self._trial.should_prune():
            raise TrialPruned(
                f"pruned at {step:,} {'folds' if self._by_fold else 'units'} with {self._figure} {value:.4g}"
            )


class GuardedRecorder:
    """The record of a trial, written only while the trial is this worker's; ``prefix`` tells its folds apart."""

    def __init__(self, recorder: Recorder, heart: Heartbeat, prefix: str) -> None:
        self._recorder, self._heart, self._prefix = recorder, heart, prefix

    def metrics(self, values: Mapping[str, float], *, step: int, units: int) -> None:
        """Record points of curves."""
        self._heart.check()
        self._recorder.metrics(
            {f"{self._prefix}{name}": value for name, value in values.items()}, step=step, units=units
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)
