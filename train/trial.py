"""Training for somebody who only wants to know how good the settings are: the fit of a run, without its bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle import Bundle
from train.cleaning import CleanCorpus
from train.export import export_unscored
from train.fitting import Fitting
from train.loop import Report
from train.prepare import contents, prepare
from train.progress import Display
from train.recorder import OpenRecorder
from train.run_dir import RunDir
from train.settings import Config
from train.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A run after its fit; ``stopped`` is the exit status that a signal asks for, 0 where training came to its end."""

    best_score: float
    stopped: int
    fitting: Fitting

    def export(self, destination: Path) -> Bundle:
        """Write the best weights as a bundle without scores."""
        self.fitting.choose_weights()
        return export_unscored(destination, contents(self.fitting.prepared, None))


def run_trial(
    config: Config,
    path: Path,
    open_recorder: OpenRecorder,
    *,
    corpus: CleanCorpus,
    watch: Callable[[Report], None],
    display: Display,
) -> Fitted:
    """Train in ``path``, or go on from the last checkpoint there.

    ``watch`` sees every point of the curves, the past ones again after a resumption; what it raises ends training and
    passes through. The record is opened here and closed by whoever asked, who alone knows what became of the trial.
    """
    run = RunDir(path)
    fitting = Fitting(prepare(config, run, display, corpus=corpus, resumed=run.config.exists()), display)
    stop = StopRequest()
    fitting.fit(open_recorder(fitting.facts()), stop, watch=watch)
    state = fitting.state
    return Fitted(
        # A fit that a signal ended early may have no validation yet.
        best_score=state.best_score if state.best_score is not None else float("nan"),
        stopped=stop.exit_code if stop() else 0,
        fitting=fitting,
    )
