"""Training for somebody who only wants to know how good the settings are: the fit of a run, without its bundle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.store import Bundle
from train.config.settings import Config
from train.data.corpus import CleanCorpus
from train.fitting.export import exporting
from train.fitting.fit import Fitting
from train.fitting.prepare import contents, prepare
from train.loop import Report
from train.run.progress import Display
from train.run.recorder import Recorder
from train.run.run_dir import RunDir, read_history
from train.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A run after its fit; ``stopped`` is the exit status that a signal asks for, 0 where training came to its end."""

    figures: Mapping[str, float]
    """The validation figures of the best weights; none where a signal came before any validation."""
    stopped: int
    fitting: Fitting

    def export(self, destination: Path) -> Bundle:
        """Write the best weights as a bundle without scores."""
        self.fitting.choose_weights()
        with exporting(contents(self.fitting.prepared, None)) as export:
            return export.bundle(destination, [])


def run_trial(
    config: Config,
    path: Path,
    recorder: Recorder,
    *,
    corpus: CleanCorpus,
    watch: Callable[[Report], None],
    display: Display,
) -> Fitted:
    """Train in ``path``, or go on from the last checkpoint there.

    ``watch`` sees every point of the curves, the past ones again after a resumption; what it raises ends training and
    passes through. The caller, who alone knows what became of the trial, opens and closes the record.
    """
    run = RunDir(path)
    fitting = Fitting(prepare(config, run, display, corpus=corpus, resumed=run.config.exists()), display)
    stop = StopRequest()
    fitting.fit(recorder, stop, watch=watch)
    return Fitted(
        figures=_figures(run, fitting.state.best_step), stopped=stop.exit_code if stop() else 0, fitting=fitting
    )


def _figures(run: RunDir, step: int | None) -> dict[str, float]:
    known: dict[str, float] = {}
    for point in read_history(run):
        if point["step"] == step:
            known |= {name.removeprefix("validation/"): value for name, value in point.items() if "validation/" in name}
    return known
