"""The loop with a learner of a few lines: what it counts, what it keeps, what it refuses."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from train.batches import EvenBatches, Indices, Units, units
from train.checkpoint import Checkpoints, TrainingState, whole_state
from train.config.compose import compose_config
from train.config.settings import TrainSettings
from train.loop import Loop, NonFiniteLossError, Outcome
from train.run.history import CurvePoint

ROWS = 24


class Pictures:
    """A learner of the class, of two, of random pictures: no tokens, no masks, and a batch normalisation."""

    unit, objective = "item", "loss"
    higher_is_better = False

    def __init__(self, *, bad_rows: tuple[int, ...] = ()) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pixels = torch.randn(ROWS, 3, 4, 4, generator=generator)
        self.labels = (self.pixels.mean(dim=(1, 2, 3)) > 0).long()
        self.lengths = np.ones((ROWS, 1), dtype=np.int64)
        self.bad_rows = bad_rows
        self.validated: list[int] = []

    def batches(self, epoch: int) -> Sequence[Indices]:
        return EvenBatches(self.lengths, batch_units=8, seed=1).epoch(epoch)

    def batch(self, rows: Indices) -> dict[str, torch.Tensor]:
        pixels = self.pixels[rows].clone()
        if set(self.bad_rows) & set(rows.tolist()):
            pixels[:] = math.nan
        return {"pixel_values": pixels, "labels": self.labels[rows]}

    def units(self, rows: Indices) -> Units:
        return units(rows, self.lengths)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(batch["pixel_values"]), batch["labels"])

    @torch.no_grad()
    def validate(self, model: Any) -> dict[str, float]:
        model.eval()
        self.validated.append(1)
        return {"loss": float(self.loss(model, {"pixel_values": self.pixels, "labels": self.labels}))}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(16, 2),
    )


def settings(*changes: str) -> TrainSettings:
    fixed = ["train.device=cpu", "train.threads=1", "train.lr=0.05", "train.warmup_steps=0", "train.log_every_steps=5"]
    return compose_config([*fixed, "train.validate_every_steps=10", "train.max_steps=20", *changes]).train


@dataclasses.dataclass(kw_only=True)
class Run:
    outcome: Outcome
    model: torch.nn.Module
    reports: list[CurvePoint]
    checkpoints: Checkpoints


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Run]:
    def run(
        *changes: str,
        learner: Any = None,
        model: Any = None,
        folder: str = "run",
        state: TrainingState | None = None,
        stop_at: int = 10**9,
    ) -> Run:
        model, learner = model or network(), learner or Pictures()
        checkpoints, reports = Checkpoints(tmp_path / folder, keep=2), list[CurvePoint]()
        state = state or TrainingState(config_digest="d")
        groups = [{"params": list(model.parameters()), "lr_scale": 1.0}]
        loop = Loop(
            model,
            learner,
            parameter_groups=groups,
            settings=settings(*changes),
            checkpoints=checkpoints,
            state=state,
            report=reports.append,
        )
        outcome = loop.run(lambda: state.step >= stop_at)
        return Run(outcome=outcome, model=model, reports=reports, checkpoints=checkpoints)

    return run


def test_a_task_without_tokens_or_masks_trains_and_counts_its_items(train: Callable[..., Run]) -> None:
    run = train()
    assert run.outcome.state.units == 20 * 8
    curves = [report.figures for report in run.reports if "train/loss" in report.figures]
    assert [report.step for report in run.reports if "train/loss" in report.figures] == [5, 10, 15, 20]
    assert all(figures["train/padding_share"] == 0 for figures in curves)
    assert all(figures["train/items_per_second"] > 0 for figures in curves)


def test_a_run_that_is_stopped_and_resumed_repeats_the_one_that_was_not_bit_by_bit(train: Callable[..., Run]) -> None:
    whole = train(folder="whole")
    train(folder="cut", stop_at=7)
    state = Checkpoints(whole.checkpoints.folder.parent / "cut", keep=2).last()
    assert state is not None
    assert state.step == 7
    resumed = train(folder="cut", state=state)
    expected = whole_state(whole.model)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in whole_state(resumed.model).items())
    losses = [report.figures["train/loss"] for report in whole.reports if "train/loss" in report.figures]
    assert [r.figures["train/loss"] for r in resumed.reports if "train/loss" in r.figures] == losses[1:]


def test_an_objective_that_is_to_fall_keeps_the_lowest(train: Callable[..., Run]) -> None:
    run = train("train.validate_every_steps=2")
    scores = {report.step: report.figures["validation/loss"] for report in run.reports if report.validation}
    assert run.outcome.state.best_score == min(scores.values())
    assert run.outcome.state.best_step == min(scores, key=lambda step: scores[step])


def test_the_first_step_whose_loss_is_no_number_is_named_though_it_is_read_later(train: Callable[..., Run]) -> None:
    learner = Pictures(bad_rows=(3,))
    order = [rows.tolist() for epoch in range(3) for rows in learner.batches(epoch)]
    bad = next(step for step, rows in enumerate(order, start=1) if 3 in rows)
    with pytest.raises(NonFiniteLossError, match=rf"the loss is nan at step {bad}; there is no checkpoint yet"):
        train("train.log_every_steps=7", learner=learner)


def test_weights_that_are_no_numbers_are_neither_validated_nor_saved(train: Callable[..., Run], tmp_path: Path) -> None:
    learner = Pictures(bad_rows=tuple(range(ROWS)))
    with pytest.raises(NonFiniteLossError, match="the loss is nan at step 1"):
        train("train.log_every_steps=100", "train.checkpoint_every_steps=4", learner=learner)
    assert Checkpoints(tmp_path / "run", keep=2).steps() == []
    assert learner.validated == []


class Overflowing(Pictures):
    """A learner with finite losses and gradients, and a weight that one step of decay takes beyond all numbers."""

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return super().loss(model, batch) + 0 * model.large


def test_a_weight_that_is_no_number_is_found_before_it_is_validated_or_saved(
    train: Callable[..., Run], tmp_path: Path
) -> None:
    learner, model = Overflowing(), network()
    model.register_parameter("large", torch.nn.Parameter(torch.tensor(3e38)))
    with pytest.raises(NonFiniteLossError, match="the largest weight is inf at step 1"):
        train("train.lr=4", "train.weight_decay=1", "train.max_steps=1", learner=learner, model=model)
    assert Checkpoints(tmp_path / "run", keep=2).steps() == []
    assert learner.validated == []


def test_training_of_no_steps_validates_and_keeps_the_weights_as_they_are(train: Callable[..., Run]) -> None:
    run = train("train.max_steps=0")
    assert run.outcome.reason == "finished"
    assert (run.outcome.state.best_step, run.checkpoints.steps()) == (0, [0])
    other = network()
    run.checkpoints.restore_model(0, other)
    expected = whole_state(network())
    assert all(torch.equal(tensor, expected[name]) for name, tensor in whole_state(other).items())


def test_a_run_that_was_stopped_before_its_first_step_starts_from_the_weights_it_had(
    train: Callable[..., Run], tmp_path: Path
) -> None:
    train(folder="cut", stop_at=0)
    state = Checkpoints(tmp_path / "cut", keep=2).last()
    assert state is not None
    other = network()
    torch.nn.init.zeros_(other[4].weight)
    resumed = train(folder="cut", state=state, model=other)
    expected = whole_state(train(folder="whole").model)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in whole_state(resumed.model).items())


def test_the_speed_after_a_resumption_counts_only_what_was_computed_since(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(folder="cut", stop_at=4)
    state = Checkpoints(tmp_path / "cut", keep=2).last()
    assert state is not None
    # Every look at the clock is a second later than the one before.
    seconds = itertools.count()
    monkeypatch.setattr("train.loop.time.monotonic", lambda: float(next(seconds)))
    resumed = train("train.max_minutes=1000", folder="cut", state=state)
    first, second = [r.figures["train/items_per_second"] for r in resumed.reports if "train/loss" in r.figures][:2]
    assert first < 2 * second


def test_the_last_checkpoint_knows_the_last_validation_though_one_was_due_at_the_same_step(
    train: Callable[..., Run],
) -> None:
    run = train("train.validate_every_steps=30", "train.checkpoint_every_steps=10")
    last = run.checkpoints.last()
    assert last is not None
    assert (last.step, last.validated_step, last.best_step) == (20, 20, 20)
    again = train("train.validate_every_steps=30", "train.checkpoint_every_steps=10", state=last)
    assert again.reports == []
