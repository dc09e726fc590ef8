"""The model card of a bundle, written from its manifest alone (so it can be written again, byte for byte)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dragoman.bundle.manifest import Manifest
from dragoman.task_table import find_task


@dataclass(frozen=True, kw_only=True)
class Card:
    """A task's part of the model card: ``metadata`` are lines of the block that model hubs read.

    ``digits`` are the decimal places that its scores are worth writing with.
    """

    what: str
    limits: Sequence[str] = ()
    metadata: Sequence[str] = ()
    digits: int = 2


class DescribedTask(Protocol):
    """The part of a task's class that the model card asks."""

    example_item: Any
    takes_files: bool

    def card(self, manifest: Manifest) -> Card:
        """Describe the model."""


def model_card(manifest: Manifest) -> str:
    """Write the card as Markdown, with the metadata block that model hubs read."""
    provenance = manifest.provenance
    task: DescribedTask = find_task(manifest.task)
    card = task.card(manifest)
    base = provenance.base_model
    origin = "trained from random weights"
    if base:
        origin = f"imported as it is from {base.name}" if provenance.imported else f"fine-tuned from {base.name}"
    revision = f", revision {base.revision}" if base and base.revision else ""
    example = 'Path("path/to/file").read_bytes()' if task.takes_files else repr(task.example_item)
    lines = [
        "---",
        *card.metadata,
        f"pipeline_tag: {manifest.task.replace('_', '-')}",
        "---",
        f"# {manifest.name}",
        "",
        f"{card.what}, {origin}. `python -m dragoman info` on its bundle prints the version.",
        "",
        "## Scores",
        "",
        *_score_table(manifest, card.digits),
        "",
        "## How to use it",
        "",
        "```python",
        *(["from pathlib import Path", ""] if task.takes_files else []),
        "import dragoman",
        "",
        'predict = dragoman.load("path/to/bundle")',
        f"print(predict([{example}])[0])",
        "```",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card.limits),
        "- The scores hold for inputs like the test set's; other domains will do worse.",
        "",
        "## Where it comes from",
        "",
        f"- MLflow run: {provenance.mlflow_run_id or ('none, imported' if provenance.imported else 'not tracked')}",
        f"- Code: {provenance.git_commit or 'not under version control'}",
        f"- Configuration: sha256:{provenance.config_digest} (`config.yaml` in this bundle)",
        f"- Corpus: {provenance.corpus_fingerprint}",
        *([f"- Base model: {base.name}{revision}, {base.digest}"] if base else []),
        *([f"- Settings found by: {provenance.study}"] if provenance.study else []),
        "",
    ]
    return "\n".join(lines)


def _score_table(manifest: Manifest, digits: int) -> list[str]:
    if not manifest.scores:
        return ["Not scored."]
    # A table of Markdown ends a cell at every bar that is not escaped, also inside code.
    rows = []
    for score in manifest.with_baselines():
        value, low, high = (f"{number:.{digits}f}" for number in (score.value, score.low, score.high))
        test_set, signature = f"{score.test_set} ({score.items})", f"`{_cell(score.signature)}`"
        rows.append(f"| {score.metric} | {value} | {low} to {high} | {test_set} | {score.engine} | {signature} |")
    return [
        "| metric | score | 95 % interval | test set (items) | engine | signature |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
