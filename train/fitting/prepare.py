"""Everything that the loop needs, made from a configuration: the clean corpus, the model, the task and its learner."""

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from dragoman.bundle.manifest import Provenance
from dragoman.engines.cpu import usable_cores
from train.config.settings import Config
from train.data.corpus import CleanCorpus
from train.device import require_device
from train.fitting.export import Contents
from train.fitting.learner import TaskLearner
from train.run.progress import Display
from train.run.provenance import config_digest, git_commit
from train.run.run_dir import RunDir, check_corpus
from train.tasks.base import Task, task_class


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything the loop needs."""

    config: Config
    run: RunDir
    corpus: CleanCorpus
    task: Task
    model: Any
    learner: TaskLearner


def read_corpus(config: Config) -> CleanCorpus:
    """Read the corpus of a configuration and clean it; raises DataError."""
    task = task_class(config.task.name)(config)
    return task.clean(task.read())


def set_threads(threads: int | Literal["auto"]) -> None:
    """Let torch compute on so many threads; ``auto`` takes OMP_NUM_THREADS, else one for each core that is ours."""
    if threads != "auto":
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        # Torch counts the machine's cores, and threads above a container's limit mostly wait for each other.
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def prepare(
    config: Config, run: RunDir, display: Display, *, corpus: CleanCorpus | None = None, resumed: bool
) -> Prepared:
    """Read the corpus unless it is given, and make the model; a run that is resumed must find the same corpus."""
    set_threads(config.train.threads)
    require_device(config.train.device)
    if corpus is None:
        display.stage(f"reading {config.data.name}")
        corpus = read_corpus(config)
    if resumed:
        check_corpus(run, corpus.fingerprint)
    task = task_class(config.task.name)(config)
    # What the process has drawn before, a search's earlier trials say, must not be in the weights.
    torch.manual_seed(config.train.seed)
    model = task.make_model(corpus.splits, run.assets if resumed else None)
    learner = TaskLearner(task, corpus.splits, config.train)
    corpus.reports["train"].dropped[f"too_many_{learner.unit}s"] = learner.too_long
    weights = sum(parameter.numel() for parameter in model.parameters())
    parts = (f"{learner.size:,} training examples", task.summary(), f"{weights / 1e6:.2f} million weights")
    display.stage(f"{', '.join(part for part in parts if part)}; run: {run.path}")
    return Prepared(config=config, run=run, corpus=corpus, task=task, model=model, learner=learner)


def contents(prepared: Prepared, run_id: str | None) -> Contents:
    """Gather what the bundle of a run is made from, with its weights as they are now."""
    return Contents(
        task=prepared.task,
        model=prepared.model,
        training=prepared.learner.training,
        provenance=Provenance(
            mlflow_run_id=run_id,
            git_commit=git_commit(),
            config_digest=config_digest(prepared.config),
            corpus_fingerprint=prepared.corpus.fingerprint,
            base_model=prepared.task.base_model,
            study=prepared.config.study,
        ),
    )
