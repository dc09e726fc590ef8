"""The training loop, for every task: it knows batches, losses and validation figures, and nothing of what they mean.

Nothing random outlives a step: before each update the generators are seeded with seed + step, and the order of the
batches follows from seed and epoch. A run that is killed and resumed therefore repeats the one that was not, bit by bit
(on the same device and number of threads, and with train.max_steps: a clock cannot be repeated).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from dragoman.errors import DragomanError
from train.batches import Batch, Fetched, Indices, Prefetcher, Units
from train.checkpoint import Checkpoints, TrainingState, whole_state
from train.config.settings import TrainSettings
from train.device import make_accelerator
from train.run.history import CurvePoint
from train.schedule import Budget, learning_rate


class Learner(Protocol):
    """The task's half of the loop."""

    @property
    def unit(self) -> str:
        """The singular of what is counted, such as ``token``."""

    @property
    def objective(self) -> str:
        """The validation figure by which the best weights are chosen."""

    @property
    def higher_is_better(self) -> bool:
        """The direction of the objective."""

    def batches(self, epoch: int) -> Sequence[Indices]:
        """Order the training rows of an epoch in batches; the same for the same epoch."""

    def batch(self, rows: Indices) -> Batch:
        """Pad training rows into tensors on the CPU; called in a thread, and the same for the same rows."""

    def units(self, rows: Indices) -> Units:
        """Count the units of a batch of training rows."""

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Compute the mean loss of a batch, as a scalar."""

    def validate(self, model: Any) -> Mapping[str, float]:
        """Compute the figures of the validation set, the objective among them."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The reason why training ended, and its state then."""

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


#   prefetcher (thread) --batch--> _update --> pending figures (on the device)
#                                                 |  _settle: read back, check, keep as numbers
#                                                 v
#       every log_every_steps        settle, log
#       every validate_every_…       settle, check the weights, validate, save if it is the best yet
#       every checkpoint_every_steps settle, check the weights, save
#
# Reading a figure back waits for the device, so a step leaves its loss and gradient norm there. They are read when a
# point of the curve is due, and always before anything is validated or saved: no checkpoint comes after a figure that
# is not a number, and the error names the first step that had one. The state (`self.state`) is whatever a checkpoint
# has to hold for a resumption to repeat the run; the loop alone changes it.
class Loop:
    """A training from a state on, until the budget is spent or the objective gets no better."""

    def __init__(
        self,
        model: Any,
        learner: Learner,
        *,
        parameter_groups: list[dict[str, Any]],
        settings: TrainSettings,
        checkpoints: Checkpoints,
        state: TrainingState,
        report: Callable[[CurvePoint], None],
    ) -> None:
        """Take the tensors of the state's checkpoint, if it has one.

        ``parameter_groups`` are AdamW's, each with an ``lr_scale`` by which the learning rate is multiplied for it.
        """
        self.learner, self.settings, self.checkpoints = learner, settings, checkpoints
        self.state, self.report = state, report
        self.accelerator = make_accelerator(settings.device, settings.bf16)
        # Checkpoints and schedules deal with the model and optimizer themselves, the update with Accelerate's wrappers.
        self.plain_model = model
        self.plain_optimizer = torch.optim.AdamW(
            parameter_groups, lr=settings.lr, betas=(0.9, settings.adam_beta2), weight_decay=settings.weight_decay
        )
        self.model, self.optimizer = self.accelerator.prepare(model, self.plain_optimizer)
        self.pending: list[_Pending] = []
        # Also of step 0, where a run was stopped before it began.
        if checkpoints.path(state.step).exists():
            checkpoints.restore(state.step, self.plain_model, self.plain_optimizer)
        self.budget = Budget(
            max_steps=settings.max_steps,
            max_units=settings.max_units,
            max_seconds=None if settings.max_minutes is None else 60 * settings.max_minutes,
        )
        # The run's clock goes on from where the last process left it; the clock of the speed starts now, and does not
        # count the units that the last process computed for the point of the curve in progress.
        self.started = time.monotonic() - state.elapsed_seconds
        self.marked = time.monotonic()
        self.earlier_units = math.fsum(state.logged.get("units", []))

    def run(self, interrupted: Callable[[], bool]) -> Outcome:
        """Train until the budget is spent, patience is lost, or ``interrupted()`` says so between two steps.

        Whatever the end, the last checkpoint holds it. Raises NonFiniteLossError naming the step.
        """
        state, settings = self.state, self.settings
        on_gpu = self.accelerator.device.type == "cuda"
        with Prefetcher(
            self.learner.batches, self.learner.batch, epoch=state.epoch, position=state.position, pin=on_gpu
        ) as prefetcher:
            while not self._spent() and not self._patience_lost():
                if interrupted():
                    self._save()
                    return Outcome(reason="interrupted", state=state)
                units_before = state.units
                self._update(prefetcher.take())
                if state.step % settings.log_every_steps == 0:
                    self._log()
                # Units come a batch at a time: a validation is due with the step that crosses a multiple.
                if settings.validate_every_units is not None:
                    due = state.units // settings.validate_every_units > units_before // settings.validate_every_units
                else:
                    due = state.step % settings.validate_every_steps == 0
                improved = due and self._validate()
                # The last one is saved below, once its validation is in its state: a checkpoint is written once.
                if improved or (state.step % settings.checkpoint_every_steps == 0 and not self._spent()):
                    self._save()
        # Every run ends with a validation, so that there always is a best checkpoint.
        if state.validated_step != state.step and not self._patience_lost():
            self._log()
            self._validate()
        self._save()
        return Outcome(reason="early_stop" if self._patience_lost() else "finished", state=state)

    def _update(self, fetched: Fetched) -> None:
        """Take one optimizer step on the next batch."""
        state, settings = self.state, self.settings
        torch.manual_seed(settings.seed + state.step)
        lr = learning_rate(
            settings.schedule,
            peak=settings.lr,
            warmup_steps=settings.warmup_steps,
            step=state.step,
            progress=self._progress(),
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
        # The place is noted only now: batches that were collated ahead are not yet part of the run.
        state.epoch, state.position = fetched.next_epoch, fetched.next_position
        self.pending.append(_Pending(step=state.step, loss=loss.detach(), grad_norm=norm.detach()))
        self._note(lr=lr, units=size.real, padded=size.padded)

    def _log(self) -> None:
        """Report one point of the loss curve: means over the steps since the last one."""
        self._settle()
        logged = self.state.logged
        if not logged:
            return
        steps, units = len(logged["loss"]), math.fsum(logged["units"])
        speed = (units - self.earlier_units) / (time.monotonic() - self.marked)
        self._report(
            {
                "train/loss": math.fsum(logged["loss"]) / steps,
                "train/grad_norm": math.fsum(logged["grad_norm"]) / steps,
                "train/lr": logged["lr"][-1],
                "train/padding_share": 1 - units / math.fsum(logged["padded"]),
                f"train/{self.learner.unit}s_per_second": speed,
            }
        )
        self.state.logged, self.marked, self.earlier_units = {}, time.monotonic(), 0.0

    def _validate(self) -> bool:
        """Score the model on the validation set; return whether it is the best so far."""
        self._check()
        state, learner, began = self.state, self.learner, time.monotonic()
        figures = learner.validate(self.model)
        # Validation is no part of the training speed.
        self.marked += time.monotonic() - began
        score = figures[learner.objective]
        if not math.isfinite(score):
            raise self._diverged(f"validation's {learner.objective}", score, state.step)
        best = state.best_score
        improved = best is None or (score > best if learner.higher_is_better else score < best)
        if improved:
            state.best_step, state.best_score, state.validations_since_best = state.step, score, 0
        else:
            state.validations_since_best += 1
        state.validated_step = state.step
        self._report({f"validation/{name}": value for name, value in figures.items()}, validation=True)
        return improved

    def _save(self) -> None:
        self._check()
        self._elapsed()
        self.checkpoints.save(self.state, self.plain_model, self.plain_optimizer)

    def _note(self, **figures: float) -> None:
        """Keep a step's figures until the next point of the curve."""
        for name, value in figures.items():
            self.state.logged.setdefault(name, []).append(value)

    def _settle(self) -> None:
        """Read the figures of the last steps back from the device; raise for the first that is not a number."""
        if not self.pending:
            return
        # One transfer for all of them.
        read = torch.stack([torch.stack((step.loss.float(), step.grad_norm.float())) for step in self.pending])
        values: list[list[float]] = read.tolist()
        steps, self.pending = [step.step for step in self.pending], []
        for step, (loss, norm) in zip(steps, values, strict=True):
            for what, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    raise self._diverged(what, value, step)
            self._note(loss=loss, grad_norm=norm)

    def _check(self) -> None:
        """Raise unless everything that a checkpoint would hold is a number."""
        self._settle()
        real = [tensor for tensor in whole_state(self.plain_model).values() if tensor.is_floating_point()]
        if not bool(torch.stack([tensor.isfinite().all() for tensor in real]).all()):
            raise self._diverged("largest weight", math.inf, self.state.step)

    def _diverged(self, what: str, value: float, step: int) -> NonFiniteLossError:
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

    def _report(self, figures: Mapping[str, float], *, validation: bool = False) -> None:
        self.report(
            CurvePoint(
                step=self.state.step,
                units=self.state.units,
                elapsed_seconds=self._elapsed(),
                progress=self._progress(),
                figures=figures,
                validation=validation,
            )
        )

    def _elapsed(self) -> float:
        self.state.elapsed_seconds = time.monotonic() - self.started
        return self.state.elapsed_seconds

    def _progress(self) -> float:
        state = self.state
        return self.budget.progress(step=state.step, units=state.units, elapsed_seconds=state.elapsed_seconds)

    def _spent(self) -> bool:
        return self.budget.spent(step=self.state.step, units=self.state.units, elapsed_seconds=self._elapsed())

    def _patience_lost(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.validations_since_best >= patience
