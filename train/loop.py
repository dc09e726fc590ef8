"""The training loop, for every task: it knows batches, losses and validation figures, and nothing of what they mean.

::

    prefetcher (thread) --batch--> update --> pending figures (on the device)
                                                 |  settle: read back, check, keep as numbers
                                                 v
        every log_every_steps        settle, log
        every validate_every_…       settle, check the weights, validate, save if it is the best yet
        every checkpoint_every_steps settle, check the weights, save

Reading a figure back waits for the device, so a step leaves its loss and gradient norm there. They are read when a
point of the curve is due, and always before anything is validated or saved: no checkpoint comes after a figure that is
not a number, and the error names the first step that had one.

Nothing random outlives a step: before each update the generators are seeded with seed + step, and the order of the
batches follows from seed and epoch. A run that is killed and resumed therefore repeats the one that was not, bit by bit
(on the same device and number of threads, and with train.max_steps: a clock cannot be repeated).
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from dragoman.errors import DragomanError
from train.batches import Indices, Units
from train.checkpoint import Checkpoints, TrainingState, whole_state
from train.config.settings import TrainSettings
from train.device import make_accelerator
from train.prefetch import Batch, EpochBatches, Fetched, Prefetcher
from train.schedule import Budget, learning_rate


class Learner(Protocol):
    """The task's half of the loop."""

    @property
    def unit(self) -> str:
        """The singular of what is counted, such as ``token``."""
        ...

    @property
    def objective(self) -> str:
        """The validation figure that says which weights are best."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Whether the objective is to rise."""
        ...

    def batch(self, rows: Indices) -> Batch:
        """Padded tensors of these training rows, on the CPU; called in a thread, and the same for the same rows."""
        ...

    def units(self, rows: Indices) -> Units:
        """Count the units of a batch of these training rows."""
        ...

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, as a scalar."""
        ...

    def validate(self, model: Any) -> Mapping[str, float]:
        """Figures on the validation set, the objective among them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the loop tells while it runs; ``validation`` says which kind of figures these are."""

    step: int
    units: int
    elapsed_seconds: float
    progress: float
    figures: Mapping[str, float]
    validation: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How training ended, and its state then."""

    reason: Literal["finished", "early_stop", "interrupted"]
    state: TrainingState


class NonFiniteLossError(DragomanError):
    """The loss is infinite or not a number."""


@dataclass(frozen=True, kw_only=True)
class _Pending:
    """The figures of a step that have not been read back from the device."""

    step: int
    loss: torch.Tensor
    grad_norm: torch.Tensor


def fit(
    model: Any,
    learner: Learner,
    batches: EpochBatches,
    *,
    parameter_groups: list[dict[str, Any]],
    settings: TrainSettings,
    checkpoints: Checkpoints,
    state: TrainingState,
    report: Callable[[Report], None],
    interrupted: Callable[[], bool],
) -> Outcome:
    """Train from ``state`` until the budget is spent, the objective gets no better, or ``interrupted()`` says so.

    ``parameter_groups`` are AdamW's, each with an ``lr_scale`` by which the learning rate is multiplied for it.
    Whatever the end, the last checkpoint holds it. Raises NonFiniteLossError naming the step.
    """
    return _Loop(model, parameter_groups, learner, batches, settings, checkpoints, state, report).run(interrupted)


class _Loop:
    def __init__(
        self,
        model: Any,
        parameter_groups: list[dict[str, Any]],
        learner: Learner,
        batches: EpochBatches,
        settings: TrainSettings,
        checkpoints: Checkpoints,
        state: TrainingState,
        report: Callable[[Report], None],
    ) -> None:
        self.settings, self.learner, self.batches = settings, learner, batches
        self.checkpoints, self.state, self.report = checkpoints, state, report
        self.accelerator = make_accelerator(settings.device, settings.bf16)
        self.plain_model = model
        self.plain_optimizer = torch.optim.AdamW(
            parameter_groups,
            lr=settings.lr,
            betas=(0.9, settings.adam_beta2),
            weight_decay=settings.weight_decay,
        )
        self.model, self.optimizer = self.accelerator.prepare(model, self.plain_optimizer)
        self.pending: list[_Pending] = []
        # Also of step 0, where a run was stopped before it began.
        if checkpoints.path(state.step).exists():
            checkpoints.restore(state.step, self.plain_model, self.plain_optimizer)
        minutes = settings.max_minutes
        self.budget = Budget(
            max_steps=settings.max_steps,
            max_units=settings.max_units,
            max_seconds=None if minutes is None else 60 * minutes,
        )
        self.started = time.monotonic() - state.elapsed_seconds
        self.marked = time.monotonic()
        # Computed before the clock was started, by the process that this one goes on for.
        self.earlier_units = math.fsum(state.logged.get("units", []))

    def run(self, interrupted: Callable[[], bool]) -> Outcome:
        state = self.state
        with Prefetcher(
            self.batches,
            self.learner.batch,
            epoch=state.epoch,
            position=state.position,
            pin=self.accelerator.device.type == "cuda",
        ) as prefetcher:
            while not self.spent() and not self.patience_lost():
                if interrupted():
                    self.save()
                    return Outcome(reason="interrupted", state=state)
                before = state.units
                self.update(prefetcher.take())
                if state.step % self.settings.log_every_steps == 0:
                    self.log()
                improved = self.validation_due(before) and self.validate()
                due = state.step % self.settings.checkpoint_every_steps == 0
                # The last one is saved below, once what is said of it is complete: a checkpoint is written once.
                if improved or (due and not self.spent()):
                    self.save()
        if state.validated_step != state.step and not self.patience_lost():
            self.log()
            self.validate()
        self.save()
        return Outcome(reason="early_stop" if self.patience_lost() else "finished", state=state)

    def spent(self) -> bool:
        return self.budget.spent(step=self.state.step, units=self.state.units, elapsed_seconds=self.elapsed())

    def validation_due(self, units_before: int) -> bool:
        """Whether the last step ended an interval between validations, of steps or of units."""
        every = self.settings.validate_every_units
        if every is not None:
            return self.state.units // every > units_before // every
        return self.state.step % self.settings.validate_every_steps == 0

    def elapsed(self) -> float:
        self.state.elapsed_seconds = time.monotonic() - self.started
        return self.state.elapsed_seconds

    def progress(self) -> float:
        state = self.state
        return self.budget.progress(step=state.step, units=state.units, elapsed_seconds=state.elapsed_seconds)

    def patience_lost(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.validations_since_best >= patience

    def update(self, fetched: Fetched) -> None:
        """Take one optimizer step on the next batch."""
        state, settings = self.state, self.settings
        torch.manual_seed(settings.seed + state.step)
        lr = learning_rate(
            settings.schedule,
            peak=settings.lr,
            warmup_steps=settings.warmup_steps,
            step=state.step,
            progress=self.progress(),
        )
        for group in self.plain_optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.model.train()
        # Page-locked where the device is a GPU, so that the copy overlaps with what the device still computes.
        device = self.accelerator.device
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in fetched.batch.items()}
        loss = self.learner.loss(self.model, batch)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        size = self.learner.units(fetched.rows)
        state.step += 1
        state.units += size.real
        state.epoch, state.position = fetched.next_epoch, fetched.next_position
        self.pending.append(_Pending(step=state.step, loss=loss.detach(), grad_norm=norm.detach()))
        self.note(lr=lr, units=size.real, padded=size.padded)

    def note(self, **figures: float) -> None:
        """Keep a step's figures until the next point of the curve."""
        for name, value in figures.items():
            self.state.logged.setdefault(name, []).append(value)

    def settle(self) -> None:
        """Read the figures of the last steps back from the device; raise for the first that is not a number."""
        if not self.pending:
            return
        read = torch.stack([torch.stack((step.loss.float(), step.grad_norm.float())) for step in self.pending])
        values: list[list[float]] = read.tolist()
        steps, self.pending = [step.step for step in self.pending], []
        for step, (loss, norm) in zip(steps, values, strict=True):
            for what, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    raise self.diverged(what, value, step)
            self.note(loss=loss, grad_norm=norm)

    def check(self) -> None:
        """Raise unless everything that a checkpoint would hold is a number."""
        self.settle()
        real = [tensor for tensor in whole_state(self.plain_model).values() if tensor.is_floating_point()]
        if not bool(torch.stack([tensor.isfinite().all() for tensor in real]).all()):
            raise self.diverged("largest weight", math.inf, self.state.step)

    def diverged(self, what: str, value: float, step: int) -> NonFiniteLossError:
        best, steps = self.state.best_step, self.checkpoints.steps()
        if best is not None:
            kept = f"the best checkpoint, {self.checkpoints.path(best)}, is kept"
        elif steps:
            kept = f"the last checkpoint, {self.checkpoints.path(steps[-1])}, is kept"
        else:
            kept = "there is no checkpoint yet"
        return NonFiniteLossError(
            f"the {what} is {value} at step {step}; {kept}; lower train.lr (now {self.settings.lr:g}) or "
            f"train.clip_norm (now {self.settings.clip_norm:g}), or set train.bf16=off"
        )

    def log(self) -> None:
        """Tell one point of the loss curve: means over the steps since the last one."""
        self.settle()
        logged = self.state.logged
        if not logged:
            return
        steps, units = len(logged["loss"]), math.fsum(logged["units"])
        speed = (units - self.earlier_units) / (time.monotonic() - self.marked)
        self.tell(
            {
                "train/loss": math.fsum(logged["loss"]) / steps,
                "train/grad_norm": math.fsum(logged["grad_norm"]) / steps,
                "train/lr": logged["lr"][-1],
                "train/padding_share": 1 - units / math.fsum(logged["padded"]),
                f"train/{self.learner.unit}s_per_second": speed,
            }
        )
        self.state.logged, self.marked, self.earlier_units = {}, time.monotonic(), 0.0

    def validate(self) -> bool:
        """Score the model on the validation set; return whether it is the best so far."""
        self.check()
        state, began = self.state, time.monotonic()
        figures = self.learner.validate(self.model)
        self.marked += time.monotonic() - began
        score = figures[self.learner.objective]
        if not math.isfinite(score):
            raise self.diverged(f"validation's {self.learner.objective}", score, state.step)
        improved = state.best_score is None or self.better(score, state.best_score)
        if improved:
            state.best_step, state.best_score, state.validations_since_best = state.step, score, 0
        else:
            state.validations_since_best += 1
        state.validated_step = state.step
        self.tell({f"validation/{name}": value for name, value in figures.items()}, validation=True)
        return improved

    def better(self, score: float, than: float) -> bool:
        return score > than if self.learner.higher_is_better else score < than

    def tell(self, figures: Mapping[str, float], *, validation: bool = False) -> None:
        self.report(
            Report(
                step=self.state.step,
                units=self.state.units,
                elapsed_seconds=self.elapsed(),
                progress=self.progress(),
                figures=figures,
                validation=validation,
            )
        )

    def save(self) -> None:
        self.check()
        self.elapsed()
        self.checkpoints.save(self.state, self.plain_model, self.plain_optimizer)
