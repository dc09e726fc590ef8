"""Views of a decision: tables, JSON, and the picture of its bootstrap."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dragoman import atomic
from model_registry.gate.guards import NOT_SURELY, Guard
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Judgement
from model_registry.promotion.decision import ChampionChange
from scoring.bootstrap import Comparison
from scoring.table import metric

# Of what is not printed on a terminal; labels of held-out sets fit beside their scores.
WIDTH = 120
# Rows of a guard that has a figure for each class, say; of more, only those that failed are shown.
MOST_ROWS = 12
# Rows and characters of the items that got worse; verdict.json has more of both.
SHOWN_CHANGES, LONGEST_CELL = 5, 60
# Below this, a p-value is an order of magnitude.
LEAST_P = 0.001


def write(change: ChampionChange, folder: Path) -> None:
    """Write verdict.json, verdict.txt and, where there is a comparison, bootstrap.png."""
    atomic.write_json(folder / "verdict.json", as_dict(change))
    text = io.StringIO()
    show(change, Console(file=text, width=WIDTH))
    atomic.write_text(folder / "verdict.txt", text.getvalue())
    comparison = change.judgement.comparison if change.judgement else None
    if change.judgement and comparison and all(map(math.isfinite, comparison.resampled)):
        _draw(comparison, change.judgement.settings, folder / "bootstrap.png")


def as_dict(change: ChampionChange) -> dict[str, Any]:
    """Return the decision ready for JSON."""
    found: dict[str, Any] = {
        "verdict": change.verdict,
        "reason": change.reason,
        "version": change.version.reference,
        "bundle": change.version.bundle_version,
        "champion": change.replaced.reference if change.replaced else None,
        "changed": change.changed,
    }
    if change.judgement is not None:
        found["trial"] = {**judgement_as_dict(change.judgement), "look": change.look}
    return found


def show(change: ChampionChange, console: Console) -> None:
    """Print the tables, and the decision as the last line."""
    replaced = change.replaced.reference if change.replaced else None
    if change.judgement:
        show_judgement(change.judgement, change.version.reference, replaced, console)
        line = f"decision {change.look} on these items; {change.judgement.signature}"
        console.print(line, soft_wrap=True, highlight=False)
    instead = f", instead of {replaced}" if change.verdict == "champion again" else ""
    line = (
        f"{change.verdict}: {change.version.reference} bundle {change.version.bundle_version}{instead}: {change.reason}"
    )
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def show_judgement(judgement: Judgement, candidate: str, champion: str | None, console: Console) -> None:
    """Print the scores of both and the guards."""
    settings, scored = judgement.settings, metric(judgement.settings.metric)
    table = Table("held-out set", "items", candidate, champion or "no champion", "difference", title_justify="left")
    table.title = f"{settings.metric} as served, {settings.mode.replace('_', '-')}"
    table.title += f" with margin {settings.margin:g} {scored.unit}"
    for row in judgement.sets:
        difference = "" if row.difference is None else scored.figure(row.difference, signed=True)
        theirs = "" if row.champion is None else scored.figure(row.champion)
        table.add_row(row.label, str(row.items), scored.figure(row.candidate), theirs, difference)
    found = judgement.comparison
    if found:
        gain, low, high = (scored.figure(value, signed=True) for value in (found.difference, found.low, found.high))
        cells = (str(found.items), scored.figure(found.candidate), scored.figure(found.champion))
        table.add_row("all", *cells, f"{gain} ({low} to {high})", style="bold")
    console.print(table)
    if test := judgement.paired_test:
        p = f"p = {test.p:.3f}" if test.p >= LEAST_P else f"p < {LEAST_P:g}"
        line = f"{test.name}: {test.better} items better, {test.worse} worse, {p}"
        console.print(line, soft_wrap=True, highlight=False)
    if judgement.baselines:
        table = Table("baseline", "held-out set", settings.metric, "95 % interval", title_justify="left")
        table.title = "Baselines on the same items"
        for one in judgement.baselines:
            interval = f"{scored.figure(one.low)} to {scored.figure(one.high)}"
            table.add_row(one.engine, one.test_set, scored.figure(one.value), interval)
        console.print(table)

    table = Table("guard", "candidate", "champion", "accepted", "", title="Guards", title_justify="left")
    for guard in _shown(judgement.guards):
        value = guard.note if guard.value is None else f"{guard.value:.4g}"
        theirs = "" if guard.champion is None else f"{guard.champion:.4g}"
        # A name may end in anybody's word, such as a label in brackets.
        name, result = escape(guard.name), "passed" if guard.passed else "[bold]FAILED[/bold]"
        if guard.passed and guard.note.startswith(NOT_SURELY):
            result += f", {guard.note}"
        table.add_row(name, value, theirs, guard.accepted, result)
    console.print(table)
    if judgement.changes:
        shown = judgement.changes[:SHOWN_CHANGES]
        columns = list(dict.fromkeys(name for row in shown for name in row))
        table = Table(*map(escape, columns), title="Worse than the champion's answers", title_justify="left")
        for item in shown:
            table.add_row(*(escape(_cell(item.get(name))) for name in columns))
        console.print(table)
    for label in judgement.left_out:
        console.print(f"left out: {label}, which was not held out for the champion", soft_wrap=True, highlight=False)


def judgement_as_dict(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement ready for JSON, without the single resamples; what has no value is null."""
    found = asdict(judgement)
    if judgement.comparison:
        del found["comparison"]["resampled"]
    plain: dict[str, Any] = _without_nan(found)
    return plain


def _shown(guards: Sequence[Guard]) -> list[Guard]:
    """Choose the guards that are worth a row: of one with many subjects those that failed, and a row for the others."""
    shown: list[Guard] = []
    for name in dict.fromkeys(guard.name.partition("/")[0] for guard in guards):
        rows = [guard for guard in guards if guard.name.partition("/")[0] == name]
        failed = [guard for guard in rows if not guard.passed]
        if len(rows) <= MOST_ROWS:
            shown += rows
            continue
        shown += failed
        others = len(rows) - len(failed)
        if others:
            note = f"{others} {'more' if failed else 'figures'}"
            shown.append(Guard(name=name, value=None, champion=None, accepted="", passed=True, note=note))
    return shown


def _cell(value: Any) -> str:
    """Write a cell of a task's sample in a line."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _without_nan(value: Any) -> Any:
    """Put None in the place of every number that JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw(comparison: Comparison, settings: GateSettings, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(comparison.resampled, bins=50, color="0.75")
    limits = (0.0, settings.margin) if settings.mode == "superiority" else (-settings.margin, 0.0)
    compared = metric(settings.metric)
    for limit in limits:
        axes.axvline(limit, color="tab:red", linestyle=":", label=f"limit {limit:+g}")
    for label, end in (("low", comparison.low), ("high", comparison.high)):
        axes.axvline(end, color="tab:blue", label=f"{label} {compared.figure(end, signed=True)}")
    difference = compared.figure(comparison.difference, signed=True)
    axes.axvline(comparison.difference, color="black", label=f"difference {difference}")
    which = "candidate minus champion" if compared.higher_is_better else "champion minus candidate"
    axes.set_xlabel(f"{settings.metric} ({compared.unit}), {which}, {len(comparison.resampled)} resamples")
    axes.legend()
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    atomic.write_bytes(path, picture.getvalue())
