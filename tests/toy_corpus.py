"""A language pair that a toy model learns in seconds: English words in order, each with one German word."""

import itertools
from pathlib import Path

WORDS = {
    "the man": "der Mann",
    "a woman": "eine Frau",
    "my dog": "mein Hund",
    "our teacher": "unser Lehrer",
    "sees": "sieht",
    "likes": "mag",
    "buys": "kauft",
    "finds": "findet",
    "the house": "das Haus",
    "the bread": "das Brot",
    "a book": "ein Buch",
    "the ball": "den Ball",
    "today.": "heute.",
    "again.": "wieder.",
    "here.": "hier.",
    "at noon.": "mittags.",
}
# The smallest T5 that shows every property of training; a run of forty steps takes seconds.
SETTINGS = [
    "data=parallel",
    "data.validation_size=20",
    "data.test_size=25",
    "model.d_model=32",
    "model.d_kv=8",
    "model.d_ff=64",
    "model.num_layers=1",
    "model.num_decoder_layers=1",
    "model.vocab_size=100",
    "train.threads=1",
    "train.device=cpu",
    "train.batch_units=512",
    "train.warmup_steps=10",
    "train.lr=0.01",
    "train.validate_every_steps=20",
    "train.validation_samples=10",
    "train.checkpoint_every_steps=10",
]


def toy_pairs() -> list[tuple[str, str]]:
    """Return all 256 sentences."""
    words = list(WORDS.items())
    sentences = itertools.product(words[:4], words[4:8], words[8:12], words[12:])
    return [(" ".join(e for e, _ in parts), " ".join(g for _, g in parts)) for parts in sentences]


def write_toy_corpus(folder: Path) -> list[str]:
    """Write the corpus as two files; returns the settings for training on it."""
    for index, language in enumerate(("en", "de")):
        text = "".join(f"{pair[index]}\n" for pair in toy_pairs())
        (folder / f"toy.{language}").write_text(text, encoding="utf-8")
    return [*SETTINGS, f"data.source={folder / 'toy.en'}", f"data.target={folder / 'toy.de'}"]
