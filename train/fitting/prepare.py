"""Everything that the loop needs, made from a task and its corpus: the model, and the task's half of the loop."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from train.config.settings import Config, TrainSettings
from train.data.corpus import CleanCorpus
from train.fitting.learner import TaskLearner
from train.run.progress import Display
from train.run.run_dir import RunDir, check_corpus
from train.tasks.base import Encoded, Task, task_class


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training that is ready to run."""

    task: Task
    corpus: CleanCorpus
    model: Any
    learner: TaskLearner

    @property
    def training(self) -> Encoded:
        """The examples that the model is trained on."""
        return self.learner.training


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A model that came as it is, with the corpus of its test set alone."""

    task: Task
    corpus: CleanCorpus
    model: Any
    training: ClassVar[Encoded] = {}


def read_corpus(config: Config) -> CleanCorpus:
    """Read the corpus of a configuration and clean it; raises DataError."""
    task = task_class(config.task.name)(config)
    return task.clean(task.read())


def prepare(task: Task, corpus: CleanCorpus, settings: TrainSettings, run: RunDir, display: Display) -> Prepared:
    """Make the model and encode the corpus; raises DataError when a run that is resumed finds another corpus."""
    resumed = run.config.exists()
    if resumed:
        check_corpus(run, corpus.fingerprint)
    # Nothing that the process has drawn before, in a search's earlier trials for example, may enter the weights.
    torch.manual_seed(settings.seed)
    model = task.make_model(corpus.splits, run.assets if resumed else None)
    learner = TaskLearner(task, corpus.splits, settings)
    corpus.reports["train"].dropped[f"too_many_{learner.unit}s"] = learner.too_long
    weights = sum(parameter.numel() for parameter in model.parameters())
    parts = (
        f"{learner.size:,} training examples",
        corpus.summary,
        task.summary(),
        f"{weights / 1e6:.2f} million weights",
    )
    display.stage(f"{', '.join(part for part in parts if part)}; run: {run.path}")
    return Prepared(task=task, corpus=corpus, model=model, learner=learner)
