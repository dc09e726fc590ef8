"""Training for a search, which only asks how good the settings are: the fit of a run, without its bundle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.store import Bundle
from train.config.compose import to_yaml, training_digest
from train.config.settings import Config
from train.data.corpus import CleanCorpus
from train.device import use_device
from train.fitting.export import exporting
from train.fitting.fit import Fitting
from train.fitting.prepare import prepare
from train.run.history import CurvePoint, read_history
from train.run.progress import Display
from train.run.recorder import Recorder
from train.run.run_dir import RunDir, create
from train.signals import StopRequest
from train.tasks.base import task_class


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A run after its fit; ``stopped`` is the exit status that a signal asks for, 0 where training came to its end."""

    figures: Mapping[str, float]
    """The validation figures of the best weights; none where a signal came before any validation."""
    stopped: int
    fitting: Fitting
    config: Config

    def export(self, destination: Path) -> Bundle:
        """Write the best weights as a bundle without scores."""
        self.fitting.finish()
        with exporting(self.fitting.prepared, self.config, None) as export:
            return export.write(destination, scores=[])


def run_trial(
    config: Config,
    path: Path,
    recorder: Recorder,
    *,
    corpus: CleanCorpus,
    watch: Callable[[CurvePoint], None],
    display: Display,
) -> Fitted:
    """Train in ``path``, or go on from the last checkpoint there.

    ``watch`` sees every point of the curves, the past ones again after a resumption; what it raises ends training and
    passes through. The caller, who alone knows what became of the trial, opens and closes the record.
    """
    run, stop = RunDir(path), StopRequest()
    use_device(config.train.device, config.train.threads)
    prepared = prepare(task_class(config.task.name)(config), corpus, config.train, run, display)
    fitting = Fitting(prepared, run, config.train, digest=training_digest(config), display=display)
    if not run.config.exists():
        create(run, config_yaml=to_yaml(config), corpus=corpus.as_dict(), assets=prepared.task.assets())
    fitting.fit(recorder, stop, watch=watch)
    of_best: dict[str, float] = {}
    for point in read_history(run):
        if point["step"] == fitting.state.best_step:
            of_best |= point
    figures = {name.removeprefix("validation/"): value for name, value in of_best.items() if "validation/" in name}
    return Fitted(figures=figures, stopped=stop.exit_code if stop() else 0, fitting=fitting, config=config)
