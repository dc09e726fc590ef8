"""A decision for people and for programs: a table, JSON, and the picture of its bootstrap."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from dragoman import atomic
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Trial
from scoring.bootstrap import Comparison
from scoring.table import metric

if TYPE_CHECKING:
    from model_registry.promotion.promote import Promotion

WIDTH = 120


def write(promotion: "Promotion", folder: Path) -> None:
    """Write verdict.json, verdict.txt and, where there is a comparison, bootstrap.png."""
    atomic.write_json(folder / "verdict.json", as_dict(promotion))
    text = io.StringIO()
    show(promotion, Console(file=text, width=WIDTH))
    atomic.write_text(folder / "verdict.txt", text.getvalue())
    if promotion.trial and promotion.trial.comparison:
        _draw(promotion.trial.comparison, promotion.trial.settings, folder / "bootstrap.png")


def as_dict(promotion: "Promotion") -> dict[str, Any]:
    """The decision, ready for JSON."""
    found: dict[str, Any] = {
        "verdict": promotion.verdict,
        "reason": promotion.reason,
        "version": promotion.version.reference,
        "bundle": promotion.version.bundle_version,
        "champion": promotion.replaced.reference if promotion.replaced else None,
        "changed": promotion.changed,
    }
    if (trial := promotion.trial) is not None:
        found["trial"] = {**trial_as_dict(trial), "look": promotion.look}
    return found


def show(promotion: "Promotion", console: Console) -> None:
    """Print the tables, and the decision as the last line."""
    if trial := promotion.trial:
        champion = promotion.replaced.reference if promotion.replaced else None
        show_trial(trial, promotion.version.reference, champion, console)
        console.print(f"decision {promotion.look} on these items; {trial.signature}", soft_wrap=True, highlight=False)
    console.print(decision(promotion), soft_wrap=True, highlight=False, markup=False)


def show_trial(trial: Trial, candidate: str, champion: str | None, console: Console) -> None:
    """Print the scores of both and the guards."""
    console.print(_scores(trial, candidate, champion))
    console.print(_guards(trial))
    for label in trial.left_out:
        console.print(f"left out: {label}, which was not held out for the champion", soft_wrap=True, highlight=False)


def trial_as_dict(trial: Trial) -> dict[str, Any]:
    """A judgement, ready for JSON, without the single resamples."""
    found = asdict(trial)
    if trial.comparison:
        del found["comparison"]["resampled"]
    return found


def decision(promotion: "Promotion") -> str:
    """The decision as one line."""
    version, replaced = promotion.version, promotion.replaced
    instead = f", instead of {replaced.reference}" if replaced and promotion.verdict == "champion again" else ""
    return f"{promotion.verdict}: {version.reference} bundle {version.bundle_version}{instead}: {promotion.reason}"


def _scores(trial: Trial, candidate: str, champion: str | None) -> Table:
    table = Table("held-out set", "items", candidate, champion or "no champion", "difference", title_justify="left")
    table.title = f"{trial.settings.metric} as served, {trial.settings.mode.replace('_', '-')}"
    table.title += f" with margin {trial.settings.margin:g} {metric(trial.settings.metric).unit}"
    for row in trial.sets:
        difference = "" if row.difference is None else f"{row.difference:+.2f}"
        theirs = "" if row.champion is None else f"{row.champion:.2f}"
        table.add_row(row.label, str(row.items), f"{row.candidate:.2f}", theirs, difference)
    if found := trial.comparison:
        interval = f"{found.difference:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        cells = (str(found.items), f"{found.candidate:.2f}", f"{found.champion:.2f}", interval)
        table.add_row("all", *cells, style="bold")
    return table


def _guards(trial: Trial) -> Table:
    table = Table("guard", "candidate", "champion", "accepted", "", title="Guards", title_justify="left")
    for guard in trial.guards:
        value, champion = ("" if number is None else f"{number:.4g}" for number in (guard.value, guard.champion))
        table.add_row(guard.name, value, champion, guard.accepted, "passed" if guard.passed else "[bold]FAILED[/bold]")
    return table


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
