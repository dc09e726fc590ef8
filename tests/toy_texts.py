"""Labelled texts that a toy classifier learns in seconds: a class is known by the one thing that a text speaks of."""

import csv
import itertools
from pathlib import Path

THINGS = {
    "fruit": ["an apple", "two pears", "a ripe plum", "some cherries"],
    "tool": ["a hammer", "the old saw", "two nails", "a long screw"],
    "animal": ["my dog", "a grey cat", "three horses", "the small fox"],
}
FRAMES = ["She sees {} here.", "We talked about {} again.", "Is that {}?", "{}, he said, and left.", "Nobody wants {}."]
TIMES = ["", " It was noon.", " That was last year.", " Then it rained all day long.", " It will be so tomorrow."]
# The smallest BERT that shows every property of training; a run of forty steps takes seconds.
SETTINGS = [
    "task=text_classification",
    "data=labelled",
    "data.validation_size=30",
    "data.test_size=30",
    "model=bert_small",
    "model.d_model=32",
    "model.d_ff=64",
    "model.num_heads=2",
    "model.num_layers=1",
    "model.vocab_size=200",
    "windows.tokens=24",
    "windows.overlap=6",
    "train.threads=1",
    "train.device=cpu",
    "train.batch_units=256",
    "train.warmup_steps=10",
    "train.lr=0.005",
    "train.validate_every_steps=20",
    "train.checkpoint_every_steps=10",
]


def toy_texts() -> list[tuple[str, str]]:
    """Return all 300 texts with their labels."""
    return [
        (frame.format(thing) + time, label)
        for label, things in THINGS.items()
        for thing, frame, time in itertools.product(things, FRAMES, TIMES)
    ]


def write_toy_texts(folder: Path) -> list[str]:
    """Write the corpus as a table; returns the settings for training on it."""
    with (folder / "toy.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *toy_texts()])
    return [*SETTINGS, f"data.path={folder / 'toy.csv'}"]
