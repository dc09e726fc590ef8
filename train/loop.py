"""The training loop, for every task: it knows batches, losses and a validation figure, and neither text nor MLflow.

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
from train.batches import Indices
from train.checkpoint import Checkpoints, TrainingState
from train.device import make_accelerator
from train.schedule import Budget, learning_rate
from train.settings import TrainSettings

Batch = dict[str, torch.Tensor]


class Learner(Protocol):
    """The task's half of the loop."""

    objective: str
    """The validation figure that is to rise."""

    def batch(self, rows: Indices) -> Batch:
        """Padded tensors of these training rows, on the CPU."""
        ...

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, as a scalar."""
        ...

    def validate(self, model: Any) -> Mapping[str, float]:
        """Figures on the validation set, the objective among them."""
        ...


class EpochBatches(Protocol):
    """The order of the training rows."""

    def epoch(self, number: int) -> Sequence[Indices]:
        """The batches of one epoch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the loop tells while it runs; ``validation`` says which kind of figures these are."""

    step: int
    tokens: int
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
    """Train from ``state`` until the budget is spent, the objective stops rising, or ``interrupted()`` says so.

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
        if state.step:
            checkpoints.restore(state.step, self.plain_model, self.plain_optimizer)
        minutes = settings.max_minutes
        self.budget = Budget(
            max_steps=settings.max_steps,
            max_tokens=settings.max_tokens,
            max_seconds=None if minutes is None else 60 * minutes,
        )
        self.started = time.monotonic() - state.elapsed_seconds
        self.marked = time.monotonic()

    def run(self, interrupted: Callable[[], bool]) -> Outcome:
        state = self.state
        while not self.spent() and not self.patience_lost():
            if interrupted():
                self.save()
                return Outcome(reason="interrupted", state=state)
            before = state.tokens
            self.update()
            if state.step % self.settings.log_every_steps == 0:
                self.log()
            improved = self.validation_due(before) and self.validate()
            if improved or state.step % self.settings.checkpoint_every_steps == 0:
                self.save()
        if state.validated_step != state.step and not self.patience_lost():
            self.log()
            self.validate()
        self.save()
        return Outcome(reason="early_stop" if self.patience_lost() else "finished", state=state)

    def spent(self) -> bool:
        return self.budget.spent(step=self.state.step, tokens=self.state.tokens, elapsed_seconds=self.elapsed())

    def validation_due(self, tokens_before: int) -> bool:
        """Whether the last step ended an interval between validations, of steps or of tokens."""
        every = self.settings.validate_every_tokens
        if every is not None:
            return self.state.tokens // every > tokens_before // every
        return self.state.step % self.settings.validate_every_steps == 0

    def elapsed(self) -> float:
        self.state.elapsed_seconds = time.monotonic() - self.started
        return self.state.elapsed_seconds

    def progress(self) -> float:
        state = self.state
        return self.budget.progress(step=state.step, tokens=state.tokens, elapsed_seconds=state.elapsed_seconds)

    def patience_lost(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.validations_since_best >= patience

    def update(self) -> None:
        """One optimizer step on the next batch."""
        state, settings = self.state, self.settings
        batch = self.learner.batch(self.next_rows())
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
        tokens, padded = _token_counts(batch)
        batch = {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in batch.items()}
        loss = self.learner.loss(self.model, batch)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.tokens += tokens
        self.note(loss=float(loss.detach()), grad_norm=float(norm), lr=lr, tokens=tokens, padded=padded)

    def next_rows(self) -> Indices:
        state = self.state
        epoch = self.batches.epoch(state.epoch)
        rows = epoch[state.position]
        state.position += 1
        if state.position == len(epoch):
            state.epoch, state.position = state.epoch + 1, 0
        return rows

    def note(self, **figures: float) -> None:
        """Keep a step's figures until the next point of the curve; stop if one of them is not a number."""
        for name, value in figures.items():
            if not math.isfinite(value):
                raise self.diverged(name.replace("grad_norm", "gradient norm"), value)
            self.state.logged.setdefault(name, []).append(value)

    def diverged(self, what: str, value: float) -> NonFiniteLossError:
        best, steps = self.state.best_step, self.checkpoints.steps()
        if best is not None:
            kept = f"the best checkpoint, {self.checkpoints.path(best)}, is kept"
        elif steps:
            kept = f"the last checkpoint, {self.checkpoints.path(steps[-1])}, is kept"
        else:
            kept = "there is no checkpoint yet"
        return NonFiniteLossError(
            f"the {what} is {value} at step {self.state.step}; {kept}; lower train.lr (now {self.settings.lr:g}) or "
            f"train.clip_norm (now {self.settings.clip_norm:g}), or set train.bf16=off"
        )

    def log(self) -> None:
        """One point of the loss curve: means over the steps since the last one."""
        logged = self.state.logged
        if not logged:
            return
        steps = len(logged["loss"])
        self.tell(
            {
                "train/loss": math.fsum(logged["loss"]) / steps,
                "train/grad_norm": math.fsum(logged["grad_norm"]) / steps,
                "train/lr": logged["lr"][-1],
                "train/padding_share": 1 - math.fsum(logged["tokens"]) / math.fsum(logged["padded"]),
                "train/tokens_per_second": math.fsum(logged["tokens"]) / (time.monotonic() - self.marked),
            }
        )
        self.state.logged, self.marked = {}, time.monotonic()

    def validate(self) -> bool:
        """Score the model on the validation set; whether it is the best so far."""
        state, began = self.state, time.monotonic()
        figures = self.learner.validate(self.model)
        self.marked += time.monotonic() - began
        score = figures[self.learner.objective]
        improved = state.best_score is None or score > state.best_score
        if improved:
            state.best_step, state.best_score, state.validations_since_best = state.step, score, 0
        else:
            state.validations_since_best += 1
        state.validated_step = state.step
        self.tell({f"validation/{name}": value for name, value in figures.items()}, validation=True)
        return improved

    def tell(self, figures: Mapping[str, float], *, validation: bool = False) -> None:
        self.report(
            Report(
                step=self.state.step,
                tokens=self.state.tokens,
                elapsed_seconds=self.elapsed(),
                progress=self.progress(),
                figures=figures,
                validation=validation,
            )
        )

    def save(self) -> None:
        self.elapsed()
        self.checkpoints.save(self.state, self.plain_model, self.plain_optimizer)


def _token_counts(batch: Batch) -> tuple[int, int]:
    """Tokens and padded size of a batch; every tensor named ``*_mask`` marks the tokens of one side."""
    masks = [tensor for name, tensor in batch.items() if name.endswith("_mask")]
    return sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
