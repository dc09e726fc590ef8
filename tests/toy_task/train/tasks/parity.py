"""The training half of parity: made-up numbers, and one linear layer over the last digit."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import save_file

from train.config.settings import Config
from train.data.corpus import Splits
from train.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Named:
    """A section with a name alone."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ParityConfig(Config):
    """One training of parity."""

    data: Named
    model: Named


class Parity(Task):
    """The training of a table of the digits that end an even number."""

    Settings = ParityConfig
    metrics = ("hits",)

    def read(self):
        """Make numbers up; the splits share none."""
        numbers = random.Random(1).sample(range(10**6), 2_600)
        examples = [(str(number), "odd" if number % 2 else "even") for number in numbers]
        validation, test, train = examples[:600], examples[600:1200], examples[1200:]
        return Splits(name="numbers", train=train, validation=validation, tests={"test": test})

    def make_model(self, splits, assets):
        """Build the layer."""
        return torch.nn.Linear(10, 2, bias=False)

    def encode(self, examples):
        """Turn last digits into unit vectors and labels into numbers."""
        digits = np.eye(10, dtype=np.float32)
        return {
            "digit": [digits[int(number[-1])] for number, _ in examples],
            "label": [np.array(int(label == "odd")) for _, label in examples],
        }

    def loss(self, model, batch, *, label_smoothing):
        """Compute the cross-entropy."""
        return torch.nn.functional.cross_entropy(model(batch["digit"]), batch["label"], label_smoothing=label_smoothing)

    def outputs(self, model, batch):
        """Give the labels."""
        return [("even", "odd")[place] for place in model(batch["digit"]).argmax(dim=1).tolist()]

    def write_model(self, model, folder):
        """Write the table."""
        save_file({"weight": model.weight.detach().contiguous()}, folder / "model.safetensors")
