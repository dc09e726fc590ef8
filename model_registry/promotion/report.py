"""Views of a decision: tables, JSON, and the picture of its bootstrap."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dragoman import atomic
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Judgement
from model_registry.promotion.decision import ChampionChange
from scoring.bootstrap import Comparison
from scoring.table import metric

# Of what is not printed on a terminal; labels of held-out sets fit beside their scores.
WIDTH = 120


def write(change: ChampionChange, folder: Path) -> None:
    """Write verdict.json, verdict.txt and, where there is a comparison, bootstrap.png."""
    atomic.write_json(folder / "verdict.json", as_dict(change))
    text = io.StringIO()
    show(change, Console(file=text, width=WIDTH))
    atomic.write_text(folder / "verdict.txt", text.getvalue())
    if change.judgement and change.judgement.comparison:
        _draw(change.judgement.comparison, change.judgement.settings, folder / "bootstrap.png")


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
    settings = judgement.settings
    table = Table("held-out set", "items", candidate, champion or "no champion", "difference", title_justify="left")
    table.title = f"{settings.metric} as served, {settings.mode.replace('_', '-')}"
    table.title += f" with margin {settings.margin:g} {metric(settings.metric).unit}"
    for row in judgement.sets:
        difference = "" if row.difference is None else f"{row.difference:+.2f}"
        theirs = "" if row.champion is None else f"{row.champion:.2f}"
        table.add_row(row.label, str(row.items), f"{row.candidate:.2f}", theirs, difference)
    found = judgement.comparison
    if found:
        interval = f"{found.difference:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        cells = (str(found.items), f"{found.candidate:.2f}", f"{found.champion:.2f}", interval)
        table.add_row("all", *cells, style="bold")
    console.print(table)

    table = Table("guard", "candidate", "champion", "accepted", "", title="Guards", title_justify="left")
    for guard in judgement.guards:
        figures = ["" if number is None else f"{number:.4g}" for number in (guard.value, guard.champion)]
        table.add_row(guard.name, *figures, guard.accepted, "passed" if guard.passed else "[bold]FAILED[/bold]")
    console.print(table)
    for label in judgement.left_out:
        console.print(f"left out: {label}, which was not held out for the champion", soft_wrap=True, highlight=False)


def judgement_as_dict(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement ready for JSON, without the single resamples."""
    found = asdict(judgement)
    if judgement.comparison:
        del found["comparison"]["resampled"]
    return found


def _draw(comparison: Comparison, settings: GateSettings, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(comparison.resampled, bins=50, color="0.75")
    limits = (0.0, settings.margin) if settings.mode == "superiority" else (-settings.margin, 0.0)
    for limit in limits:
        axes.axvline(limit, color="tab:red", linestyle=":", label=f"limit {limit:+g}")
    for label, end in (("low", comparison.low), ("high", comparison.high)):
        axes.axvline(end, color="tab:blue", label=f"{label} {end:+.2f}")
    axes.axvline(comparison.difference, color="black", label=f"difference {comparison.difference:+.2f}")
    compared = metric(settings.metric)
    which = "candidate minus champion" if compared.higher_is_better else "champion minus candidate"
    axes.set_xlabel(f"{settings.metric} ({compared.unit}), {which}, {len(comparison.resampled)} resamples")
    axes.legend()
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    atomic.write_bytes(path, picture.getvalue())
