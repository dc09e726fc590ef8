"""What stands before the loop: a model made from the seed, whatever the process has drawn before."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from train.config.compose import compose_config
from train.config.settings import TaskSettings
from train.data.corpus import CleanCorpus, Example, Splits
from train.fitting.prepare import prepare
from train.loop import Report
from train.run.run_dir import RunDir
from train.task_table import TASKS
from train.tasks.base import Encoded, Task


class Coin(Task):
    """Has random weights, and leaves their seed to the road."""

    metrics = ("chrF",)

    def make_model(self, splits: Splits, assets: Path | None) -> torch.nn.Module:
        return torch.nn.Linear(4, 2)

    def encode(self, examples: Sequence[Example]) -> Encoded:
        return {"side": [np.array(0) for _ in examples]}


class Silent:
    def stage(self, text: str) -> None: ...

    def show(self, report: Report) -> None: ...


def weights(seed: int) -> torch.Tensor:
    config = dataclasses.replace(compose_config([f"train.seed={seed}"]), task=TaskSettings(name="coin"))
    splits = Splits(name="coin", train=[("a", "b")], validation=[("c", "d")], tests={"test": [("e", "f")]})
    prepared = prepare(config, RunDir(Path("none")), Silent(), corpus=CleanCorpus.of(splits), resumed=False)
    found: torch.Tensor = prepared.model.weight.detach()
    return found


def test_the_weights_follow_from_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "coin", f"{__name__}:Coin")
    first = weights(1)
    torch.rand(3)
    assert torch.equal(weights(1), first)
    assert not torch.equal(weights(2), first)
