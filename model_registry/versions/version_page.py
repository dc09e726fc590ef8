"""A version as MLflow's page shows it: tags to filter by, and a description for people."""

import contextlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dragoman
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.store import Bundle
from dragoman.errors import DragomanError
from dragoman.items.outcomes import Result
from dragoman.tasks.base import task_class
from model_registry.mlflow_store.runs import current_user
from scoring.table import figure

# The column is that wide in MLflow's databases.
DESCRIPTION_LIMIT = 5000
# With these, and cells cut to their length, a description stays below the limit.
MOST_SCORES, MOST_SAMPLES, LONGEST_CELL = 10, 3, 160
# Where a run directory has its table of samples, beside the bundle.
SAMPLES = "samples.json"


def version_tags(manifest: Manifest) -> dict[str, str]:
    """Return the tags to filter by; scores are metrics of the logged model, the lineage is in the description."""
    return {
        "digest": manifest.digest,
        "bundle_version": manifest.version,
        "task": manifest.task,
        "registered_by": current_user(),
    }


def lineage(manifest: Manifest) -> dict[str, str]:
    """Return the lineage of a bundle, as far as it is known."""
    provenance, base = manifest.provenance, manifest.provenance.base_model
    found = {
        "run_id": provenance.mlflow_run_id,
        "git_commit": provenance.git_commit,
        "corpus_fingerprint": provenance.corpus_fingerprint,
        "config_digest": provenance.config_digest,
        "base_model": f"{base.name} {base.revision or base.digest}" if base else "random weights",
        "imported": "true" if provenance.imported else None,
        "study": provenance.study,
    }
    return {key: value for key, value in found.items() if value is not None}


def description(bundle: Bundle, number: int) -> str:
    """Describe a version in Markdown: scores, a sample, the commands that fetch and serve it, and its lineage."""
    manifest = bundle.manifest
    reference, label = f"{manifest.name}/{number}", f"{manifest.name}-{manifest.version}"
    task = task_class(manifest.task)
    samples = _samples(bundle)[:MOST_SAMPLES]
    # In the order of the task, which a file of JSON with sorted keys does not keep.
    order = list(task.sample(task.example_item, "", task.no_output))
    columns = sorted(samples[0], key=lambda name: order.index(name) if name in order else len(order)) if samples else []
    shown = _table(columns, [[row[name] for name in columns] for row in samples]) if samples else ["There is none."]
    lines = [
        f"{task.card(manifest).what}. The model card is `MODEL_CARD.md` among the files.",
        "",
        "### Scores",
        "",
        *(_scores(manifest) if manifest.scores else ["Not scored."]),
        "",
        "### Sample",
        "",
        *shown,
        "",
        "### Fetch and serve",
        "",
        "```sh",
        f"python -m model_registry fetch {reference}",
        f"python -m model_registry package {reference} --out dist",
        f"bentoml serve {manifest.name}:{manifest.version}",
        f"python -m deploy.torchserve --mar dist/{label}.mar",
        "```",
        "",
        "### Where it comes from",
        "",
        *(f"- {key.replace('_', ' ')}: `{value}`" for key, value in lineage(manifest).items()),
    ]
    return "\n".join(lines)[:DESCRIPTION_LIMIT]


def _scores(manifest: Manifest) -> list[str]:
    """Show each score, and beside it those of the baselines."""
    named, simple = manifest.scores[:MOST_SCORES], list(dict.fromkeys(score.engine for score in manifest.baselines))
    rows = []
    for score in named:
        value, low, high = (figure(score.metric, value) for value in (score.value, score.low, score.high))
        beside = {
            other.engine: figure(other.metric, other.value)
            for other in manifest.baselines
            if (other.test_set, other.metric) == (score.test_set, score.metric)
        }
        test_set = f"{score.test_set} ({score.items})"
        rows.append([score.metric, value, f"{low} to {high}", test_set, *(beside.get(name, "") for name in simple)])
    header = ("metric", "score", "95 % interval", "test set (items)", *simple)
    # Below the table, since they are wider than a page.
    signatures = dict.fromkeys(f"- {one.metric} on {one.engine}: `{one.signature}`" for one in named)
    return [*_table(header, rows), "", *signatures]


def _samples(bundle: Bundle) -> Sequence[Mapping[str, Any]]:
    """Read the samples of the bundle's training run, or else let the bundle answer its task's example."""
    path = bundle.path.parent / SAMPLES
    if path.is_file():
        with contextlib.suppress(ValueError):
            rows = json.loads(path.read_text(encoding="utf-8"))
            # A bundle may lie anywhere, and the file beside it be somebody else's.
            if isinstance(rows, list) and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
                return rows
    example = task_class(bundle.manifest.task).example_item
    try:
        with contextlib.closing(dragoman.load(bundle)) as predictor:
            (outcome,) = predictor([example])
    except DragomanError:
        return []  # such as a bundle for a device that this machine lacks; a sample is no reason to refuse it
    if not isinstance(outcome, Result):
        return []
    row = predictor.task.sample(example, None, predictor.task.output(outcome.value))
    # Nobody has said what the example should give.
    return [{name: cell for name, cell in row.items() if cell is not None}]


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    if len(text) > LONGEST_CELL:
        text = text[: LONGEST_CELL - 1] + "…"
    # Samples are anybody's text: neither the end of a cell nor a tag.
    return html.escape(text, quote=False).replace("|", r"\|")
