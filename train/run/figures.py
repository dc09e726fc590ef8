"""The curves of a run as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draw loss and learning rate above, the figures of validations below, against the step, as PNG."""
    # The figure's own canvas: pyplot would keep global state and choose a backend.
    figure = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title)
    losses.plot(*_curve(history, "train/loss"), label="training loss")
    # A short training has one validation, of which a line without marks shows nothing.
    losses.plot(*_curve(history, "validation/loss"), marker=".", label="validation loss, not smoothed")
    losses.set_ylabel("loss")
    rates = losses.twinx()
    rates.plot(*_curve(history, "train/lr"), color="grey", linestyle=":", label="learning rate")
    rates.set_ylabel("learning rate")
    lines = [*losses.get_lines(), *rates.get_lines()]
    losses.legend(lines, [str(line.get_label()) for line in lines], loc="upper right")
    for name in dict.fromkeys(name for point in history for name in point):
        if name.startswith("validation/") and name != "validation/loss":
            scores.plot(*_curve(history, name), marker=".", label=name.removeprefix("validation/"))
    scores.set_xlabel("step")
    scores.set_ylabel("score on validation")
    if scores.get_lines():
        scores.legend(loc="best")
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, format="png")


def _curve(history: Sequence[Mapping[str, Any]], name: str) -> tuple[list[int], list[float]]:
    points = [(int(point["step"]), float(point[name])) for point in history if name in point]
    return [step for step, _ in points], [value for _, value in points]
