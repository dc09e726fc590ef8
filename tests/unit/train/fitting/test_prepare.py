"""The preparation of a training: a model made from the seed, whatever the process has drawn before."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from train.config.compose import compose_config
from train.config.settings import TaskSettings
from train.data.corpus import CleanCorpus, Example, Splits
from train.fitting.prepare import prepare
from train.run.history import CurvePoint
from train.run.run_dir import RunDir
from train.tasks.base import Encoded, Task


class Coin(Task):
    """A task with random weights, which leaves their seed to the road."""

    metrics = ("chrF",)

    def make_model(self, splits: Splits, assets: Path | None) -> torch.nn.Module:
        return torch.nn.Linear(4, 2)

    def encode(self, examples: Sequence[Example]) -> Encoded:
        return {"side": [np.array(0) for _ in examples]}


class Silent:
    def stage(self, text: str) -> None: ...

    def show(self, report: CurvePoint) -> None: ...


def weights(seed: int) -> torch.Tensor:
    config = dataclasses.replace(compose_config([f"train.seed={seed}"]), task=TaskSettings(name="coin"))
    splits = Splits(name="coin", train=[("a", "b")], validation=[("c", "d")], tests={"test": [("e", "f")]})
    prepared = prepare(Coin(config), CleanCorpus.of(splits), config.train, RunDir(Path("none")), Silent())
    found: torch.Tensor = prepared.model.weight.detach()
    return found


def test_the_weights_follow_from_the_seed_alone() -> None:
    first = weights(1)
    torch.rand(3)
    assert torch.equal(weights(1), first)
    assert not torch.equal(weights(2), first)
