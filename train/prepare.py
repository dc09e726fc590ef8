"""Everything that the loop needs, made from a configuration: the clean corpus, the model, its vocabulary, the task."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from dragoman.engines.cpu import usable_cores
from dragoman.manifest import Languages, Provenance
from train.cleaning import CleanCorpus, clean
from train.device import require_device
from train.export import Contents
from train.model import PreparedModel, prepare_model
from train.progress import Display
from train.provenance import config_digest, git_commit
from train.run_dir import RunDir, check_corpus
from train.settings import Config, ScratchModel
from train.tasks import task_class


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything the loop needs."""

    config: Config
    run: RunDir
    corpus: CleanCorpus
    base: PreparedModel
    task: Any


def read_corpus(config: Config) -> CleanCorpus:
    """The corpus of a configuration, cleaned; raises DataError."""
    languages = Languages(source=config.task.source, target=config.task.target)
    return clean(config.data.read(languages), config.cleaning, languages)


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
    base = _base_model(config, run, corpus, resumed=resumed)
    task = task_class(config.task.name)(
        corpus.splits.train,
        corpus.splits.validation,
        base.tokenizer,
        prefix=config.model.prefix,
        max_tokens=config.cleaning.max_tokens,
        label_smoothing=config.train.label_smoothing,
        validation_samples=config.train.validation_samples,
        batch_tokens=config.train.batch_tokens,
        seed=config.train.seed,
    )
    corpus.reports["train"].dropped["too_many_tokens"] = task.too_many_tokens
    weights = sum(parameter.numel() for parameter in base.model.parameters())
    display.stage(
        f"{task.train_size:,} training pairs, {base.tokenizer.size:,} pieces, {weights / 1e6:.2f} million weights; "
        f"run: {run.path}"
    )
    return Prepared(config=config, run=run, corpus=corpus, base=base, task=task)


def contents(prepared: Prepared, run_id: str | None) -> Contents:
    """What the bundle of a run is made from, with its weights as they are now."""
    config = prepared.config
    return Contents(
        model=prepared.base.model,
        vocabulary=prepared.base.vocabulary,
        target_pieces=prepared.task.pieces_seen() if config.export.target_vocabulary == "corpus" else None,
        config=config,
        provenance=Provenance(
            mlflow_run_id=run_id,
            git_commit=git_commit(),
            config_digest=config_digest(config),
            corpus_fingerprint=prepared.corpus.fingerprint,
            base_model=prepared.base.base_model,
            study=config.study,
        ),
    )


def _base_model(config: Config, run: RunDir, corpus: CleanCorpus, *, resumed: bool) -> PreparedModel:
    settings = config.model
    if resumed and isinstance(settings, ScratchModel):
        settings = dataclasses.replace(settings, tokenizer_path=str(run.vocabulary))
    texts = [text for pair in corpus.splits.train for text in pair]
    return prepare_model(settings, texts, seed=config.train.seed)
