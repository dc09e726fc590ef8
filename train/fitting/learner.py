"""The task's half of the loop, made from a task and a corpus: encoded examples, batches, and validation by metrics."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dragoman.errors import DataError
from scoring.base import score_of
from scoring.table import metric
from train.batches import Batch, EvenBatches, Indices, Units, by_length, cut, units
from train.config.settings import TrainSettings
from train.data.corpus import Splits
from train.tasks.base import Encoded, Task


class TaskLearner:
    """The loop's learner (``train.loop.Learner``) for any task."""

    def __init__(self, task: Task, splits: Splits, settings: TrainSettings) -> None:
        """Encode training and validation; training examples that are too long are left out and counted.

        Validation takes a fixed random part of its examples. Raises DataError when nothing is left to train on.
        """
        self._task, self._settings = task, settings
        encoded = task.encode(splits.train)
        lengths, longest = task.lengths(encoded), task.longest()
        fits = np.ones(len(lengths), dtype=bool) if longest is None else lengths.max(axis=1) <= longest
        self.too_long = int((~fits).sum())
        if not fits.any():
            raise DataError(f"all {len(fits)} training examples are longer than {longest} {self.unit}s")
        if self.too_long:
            rows: Indices = np.flatnonzero(fits)
            encoded = {name: [arrays[row] for row in rows] for name, arrays in encoded.items()}
        self.training: Encoded = encoded
        self._lengths = lengths[fits]
        self._order = EvenBatches(self._lengths, batch_units=settings.batch_units, seed=settings.seed)
        chooser = random.Random(settings.seed)  # noqa: S311 - a seeded choice, no secret
        size = len(splits.validation)
        picked = sorted(chooser.sample(range(size), min(settings.validation_samples, size)))
        chosen = [splits.validation[row] for row in picked]
        self._references = [reference for _, reference in chosen]
        self._validation = task.encode(chosen)
        self._validation_lengths = task.lengths(self._validation)

    @property
    def unit(self) -> str:
        """The singular of what the lengths count."""
        return self._task.unit

    @property
    def objective(self) -> str:
        """The validation figure by which the best weights are chosen."""
        return self._task.objective()

    @property
    def higher_is_better(self) -> bool:
        """The direction of the objective."""
        return self._task.figures()[self.objective]

    @property
    def size(self) -> int:
        """Examples that are trained on."""
        return len(self._lengths)

    def batches(self, epoch: int) -> Sequence[Indices]:
        """Order the training rows of an epoch in batches."""
        return self._order.epoch(epoch)

    def batch(self, rows: Indices) -> Batch:
        """Collate training rows."""
        return self._task.collate(self.training, rows)

    def units(self, rows: Indices) -> Units:
        """Count the units of a batch of training rows."""
        return units(rows, self._lengths)

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Compute the training loss of a batch."""
        return self._task.loss(model, batch, label_smoothing=self._settings.label_smoothing)

    @torch.no_grad()
    def validate(self, model: Any) -> dict[str, float]:
        """Compute the loss without smoothing, and the task's metrics of quick outputs."""
        model.eval()
        device = next(model.parameters()).device
        outputs: list[Any] = [None] * len(self._references)
        total, weights = 0.0, 0
        # Sorted by length, so that little is padded; the outputs go back to the places of their references.
        order = by_length(np.arange(len(outputs)), self._validation_lengths)
        for part in cut(order, self._validation_lengths, self._settings.batch_units):
            collated = self._task.collate(self._validation, part)
            batch = {name: tensor.to(device) for name, tensor in collated.items()}
            weight = self._task.loss_weight(batch)
            # Each batch's loss is a mean over its own number of items or tokens.
            loss, found = self._task.loss_and_outputs(model, batch)
            total += float(loss) * weight
            weights += weight
            for row, output in zip(part, found, strict=True):
                outputs[row] = output
        scores = {name.lower(): score_of(metric(name), outputs, self._references) for name in self._task.metrics}
        return {"loss": total / weights, **scores}
