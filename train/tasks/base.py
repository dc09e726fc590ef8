"""The training half of a task: the questions that the road asks, with defaults for most of the answers.

A subclass names its settings and metrics and writes ``read``, ``make_model``, ``encode``, ``loss``, ``outputs`` and
``write_model``. The rest has defaults: no cleaning, examples that all cost one unit, padded batches, no conversion.
Nothing heavy is imported with this module, since settings are checked before torch is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import BaseModel
from dragoman.errors import ConfigError
from dragoman.tasks.base import task_class as run_time_class
from scoring.table import metric
from train.batches import Batch, Indices, Lengths
from train.config.settings import Config
from train.data.corpus import CleanCorpus, Example, Splits
from train.run.progress import Tell, silent
from train.task_table import find_task

if TYPE_CHECKING:
    import torch


Encoded = Mapping[str, Sequence[npt.NDArray[Any]]]
"""Encoded examples: by the name of a tensor one array an example, which may differ in their first dimension."""


class Answered(NamedTuple):
    """A held-out set with the outputs for it, as metrics take them, in the same order."""

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    references: Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple method that was fitted to the training examples, beside whose scores those of the model are shown.

    ``answer`` turns inputs into outputs; ``metrics`` are those that can score them.
    """

    name: str
    metrics: tuple[str, ...]
    answer: Callable[[Sequence[Any]], Sequence[Any]]


class Task:
    """One training of a task, with its configuration."""

    Settings: ClassVar[type[Config]]
    metrics: ClassVar[tuple[str, ...]]
    """Names in ``scoring.table``; the first is the objective, by which the best weights are chosen."""
    further_metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics that ``train.evaluate`` shows as well."""
    unit: ClassVar[str] = "item"
    """What ``lengths`` counts, in the singular."""
    fillers: ClassVar[Mapping[str, int]] = {}
    """What a tensor is padded with, where that is not 0."""
    search: ClassVar[str | None] = None
    """The search of ``configs/tune`` that ``python -m tune`` starts by itself."""
    imports: ClassVar[str | None] = None
    """The choice of ``model=`` that ``python -m train import`` takes, with weights that exist already."""
    commands: ClassVar[Mapping[str, str]] = {}
    """Examples for the help text: what follows ``python -m train``, and what it does."""

    def __init__(self, config: Config) -> None:
        self.config: Any = config
        self.base_model: BaseModel | None = None
        """The weights that ``make_model`` started from, if there were any."""
        self.tell: Tell = silent
        """A listener to the reading and cleaning of a corpus, where that takes a while."""

    @classmethod
    def figures(cls) -> dict[str, bool]:
        """Name the figures of a validation, and tell whether more of each is better."""
        return {"loss": False, **{name.lower(): metric(name).higher_is_better for name in cls.metrics}}

    @classmethod
    def objective(cls) -> str:
        """Name the figure by which the best weights are chosen."""
        return cls.metrics[0].lower()

    @classmethod
    def read_files(cls, files: Sequence[Path], columns: Sequence[str] | None = None) -> list[Example]:
        """Read a test set from a file of the task's own form, or from two; raises ConfigError or DataError.

        ``columns`` are those of input and reference in a table; None takes the task's own names.
        """
        raise ConfigError("this task reads no files of its own; give a test set that training wrote, FILE.parquet")

    @classmethod
    def check_references(cls, options: Mapping[str, Any], examples: Sequence[Example]) -> None:
        """Raise DataError where no model of these options could give a reference; by default anything goes."""

    @classmethod
    def family(cls, config: Mapping[str, Any]) -> Any:
        """Name the family of models that a ``config.json`` describes; by default what it calls its ``model_type``."""
        return config.get("model_type")

    # The corpus

    def read(self) -> Splits:
        """Read the corpus; raises DataError."""
        raise NotImplementedError

    def clean(self, splits: Splits) -> CleanCorpus:
        """Leave out what would teach something wrong, and count it by reason; by default nothing."""
        return CleanCorpus.of(splits)

    # The model

    def make_model(self, splits: Splits, assets: Path | None) -> "torch.nn.Module":
        """Build or load the model; a resumed run finds the files of ``assets()`` in that folder."""
        raise NotImplementedError

    def import_model(self) -> "torch.nn.Module":
        """Load weights that exist already, to be packed as they are; by default as for a training, without a corpus."""
        return self.make_model(Splits(name="", train=[], validation=[], tests={}), None)

    def assets(self) -> Mapping[str, bytes]:
        """Give the files that a resumed run needs to make the same model, such as a vocabulary of the corpus."""
        return {}

    def parameter_groups(self, model: "torch.nn.Module") -> list[dict[str, Any]]:
        """Give AdamW's groups of parameters, each with an ``lr_scale`` by which its learning rate is multiplied."""
        return [{"params": list(model.parameters()), "lr_scale": 1.0}]

    def summary(self) -> str:
        """Describe the encoded corpus or the model in a few words, for the line before training starts."""
        return ""

    # Learning

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """Turn examples into arrays."""
        raise NotImplementedError

    def lengths(self, encoded: Encoded) -> Lengths:
        """Give the length of every example on each side, in units; by default one unit each."""
        return np.ones((len(next(iter(encoded.values()))), 1), dtype=np.int64)

    def longest(self) -> int | None:
        """Give the greatest length that is trained on; longer examples are left out and counted."""
        return None

    def collate(self, encoded: Encoded, rows: Indices) -> Batch:
        """Stack rows into tensors, padded at the end; runs in a thread and draws from no global generator."""
        import torch

        return {
            name: torch.from_numpy(padded([arrays[row] for row in rows], self.fillers.get(name, 0)))
            for name, arrays in encoded.items()
        }

    def loss(self, model: Any, batch: Batch, *, label_smoothing: float) -> "torch.Tensor":
        """Compute the mean loss of a batch, as a scalar."""
        raise NotImplementedError

    def loss_weight(self, batch: Batch) -> int:
        """Count what ``loss`` is a mean over, for the loss of a whole set; by default the rows."""
        return len(next(iter(batch.values())))

    def outputs(self, model: Any, batch: Batch) -> Sequence[Any]:
        """Give the model's output for every row, as the metrics take it; quick, for use while training."""
        raise NotImplementedError

    def loss_and_outputs(self, model: Any, batch: Batch) -> "tuple[torch.Tensor, Sequence[Any]]":
        """Compute the loss of a validation batch and its outputs; overridden where one pass gives both."""
        return self.loss(model, batch, label_smoothing=0.0), self.outputs(model, batch)

    # The weights that were chosen

    def finish(self, model: Any, validation: Sequence[Example]) -> Mapping[str, float]:
        """Fit what depends on the chosen weights, such as a temperature; returns figures for the record of the run."""
        return {}

    def baselines(self, training: Sequence[Example]) -> Sequence[Baseline]:
        """Fit simple methods to the training examples, the most trivial first; by default there are none."""
        return ()

    def pictures(self, answered: Mapping[str, Answered]) -> Mapping[str, bytes]:
        """Draw the held-out sets and the outputs for them, as PNG files by their names; by default nothing."""
        return {}

    # The bundle

    def options(self) -> Mapping[str, Any]:
        """Give the task's options in the manifest; by default those of its run-time half, as they are by themselves."""
        return asdict(run_time_class(self.config.task.name).Options())

    def limits(self) -> Mapping[str, Any]:
        """Give the task's limits in the manifest; by default those of its run-time half, as they are by themselves."""
        return asdict(run_time_class(self.config.task.name).Limits())

    def write_model(self, model: Any, folder: Path) -> None:
        """Write weights and whatever is needed to read them; the same weights give the same bytes."""
        raise NotImplementedError

    def convert(self, model_dir: Path, folder: Path, training: Encoded) -> Mapping[str, Path]:
        """Convert the written model for engines that need that, in ``folder``; returns a directory for each engine.

        ``training`` are the examples that the model was trained on.
        """
        return {}


def task_class(name: str) -> type[Task]:
    """Return the class of a task; raises ConfigError naming those there are."""
    found: type[Task] = find_task(name)
    return found


def padded(arrays: Sequence[npt.NDArray[Any]], filler: int) -> npt.NDArray[Any]:
    """Stack arrays that may differ in their first dimension, padded with ``filler`` at the end."""
    if arrays[0].ndim == 0:
        return np.stack(arrays)
    shape = (len(arrays), max(map(len, arrays)), *arrays[0].shape[1:])
    stacked = np.full(shape, filler, dtype=arrays[0].dtype)
    for row, array in enumerate(arrays):
        stacked[row, : len(array)] = array
    return stacked
