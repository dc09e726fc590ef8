"""Pictures of a classifier's outputs: confused classes, the worth of its probabilities, and its worst mistakes."""

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from train.tasks.base import Answered

# As in the calibration error (scoring.classification).
BINS = 15
# Confusions that are named above a matrix, and the number of classes up to which cells show their counts.
NAMED, COUNTED = 5, 30
# Of a label on an axis; the whole of a long one would leave no room for the matrix.
LABEL_CHARACTERS = 24
# Mistakes that are shown at most, a page of them, and in a row.
MOST_SHOWN, IN_A_ROW = 36, 6

Output = Mapping[str, float]
Floats = npt.NDArray[np.float64]
Show = Callable[[Any], npt.NDArray[np.uint8]]
"""A function from an input to the picture that it is: rows of pixels in RGB."""


def confusion_matrix(
    outputs: Sequence[Output], references: Sequence[str], labels: Sequence[str], *, title: str, items: str
) -> bytes:
    """Draw counts of references (rows) by answers (columns), coloured by the share of the row, as PNG.

    Items that were refused have a last column of their own, where there are any; ``items`` is what they are called.
    """
    rows = {label: row for row, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    for output, reference in zip(outputs, references, strict=True):
        if reference in rows:
            counts[rows[reference], rows.get(next(iter(output), ""), len(labels))] += 1
    names = short_names(labels)
    columns = [*names, "refused"]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], names
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(16.0, max(6.0, 0.55 * len(labels) + 2.5))
    figure = _figure(side, side + 0.9)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    # A dollar sign in a label begins no formula.
    axes.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("reference")
    lines = [f"{title}: {len(references):,} {items}", *_confusions(counts, names, columns)]
    axes.set_title("\n".join(lines), fontsize=9, parse_math=False)
    if len(labels) <= COUNTED:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8)
    return _png(figure)


def reliability_diagram(
    outputs: Sequence[Output], references: Sequence[str], temperature: float, *, title: str, items: str
) -> bytes:
    """Draw the share of right answers against their probabilities, with and without the temperature, as PNG.

    The probabilities without it are computed from those with it, which is exact for inputs of one part.
    """
    answered = [(output, reference) for output, reference in zip(outputs, references, strict=True) if output]
    figure = _figure(6.5, 7.5)
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    shares.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for name, power, style in (("before", temperature, "--"), (f"after, temperature {temperature:.2f}", 1.0, "-")):
        tops = np.array([_top(output, power) for output, _ in answered])
        right = np.array([next(iter(output)) == reference for output, reference in answered], dtype=np.float64)
        bins = np.clip(np.ceil(tops * BINS).astype(int) - 1, 0, BINS - 1)
        sizes = np.bincount(bins, minlength=BINS)
        filled = sizes > 0
        confidence = np.bincount(bins, tops, BINS)[filled] / sizes[filled]
        accuracy = np.bincount(bins, right, BINS)[filled] / sizes[filled]
        error = 100 * float(np.abs(confidence - accuracy) @ sizes[filled]) / max(1, len(answered))
        (line,) = shares.plot(confidence, accuracy, style, marker="o", markersize=4, label=f"{name}: ECE {error:.2f}")
        counts.stairs(sizes, np.linspace(0, 1, BINS + 1), color=line.get_color(), linestyle=style)
    shares.set_title(f"{title}: {len(answered):,} {items}", fontsize=10, parse_math=False)
    shares.set_ylabel("share of right answers")
    shares.legend(loc="lower right")
    counts.set_xlabel("probability of the answer")
    counts.set_ylabel(items)
    counts.set_yscale("symlog")
    for axes in (shares, counts):
        axes.grid(alpha=0.3)
    return _png(figure)


def worst_mistakes(one: Answered, labels: Sequence[str], show: Show, *, title: str, items: str) -> bytes:
    """Draw the inputs that were most surely given a wrong label, the surest first, as PNG.

    Above each stand its number from 1, as the lines of a table of outputs count, its label, and the answer.
    """
    names = dict(zip(labels, short_names(labels), strict=True))
    wrong = [
        (-next(iter(output.values())), row)
        for row, (output, reference) in enumerate(zip(one.outputs, one.references, strict=True))
        if output and next(iter(output)) != reference
    ]
    shown = sorted(wrong)[:MOST_SHOWN]
    rows = max(1, -(-len(shown) // IN_A_ROW))
    width, height = 1.9 * IN_A_ROW, 2.1 * rows + 0.6
    # Places of equal size: a layout that looks at the texts would take seconds for so many.
    figure = _figure(width, height, layout=None)
    heading = f"{title}: {len(wrong):,} of {len(one.inputs):,} {items} wrong, the surest first"
    figure.suptitle(heading, fontsize=10, parse_math=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=1 - 1.0 / height, wspace=0.05, hspace=0.4)
    places = list(figure.subplots(rows, IN_A_ROW, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, (probability, row) in zip(places, shown, strict=False):
        axes.imshow(show(one.inputs[row]), interpolation="nearest")
        label = next(iter(one.outputs[row]))
        reference, answer = (names.get(name, _short(name)) for name in (one.references[row], label))
        arrow = " → " if len(reference) + len(answer) <= LABEL_CHARACTERS else "\n→ "
        text = f"#{row + 1}, {-probability:.2f}\n{reference}{arrow}{answer}"
        axes.set_title(text, fontsize=7, parse_math=False)
    return _png(figure)


def draw(
    answered: Mapping[str, Answered],
    labels: Sequence[str],
    temperature: float,
    *,
    items: str,
    show: Show | None = None,
) -> dict[str, bytes]:
    """Draw the confusion matrix and the reliability diagram of every held-out set, by the names of their files.

    Given ``show``, which makes a picture of an input, the worst mistakes are drawn as well.
    """
    drawn = {}
    for name, one in answered.items():
        _, outputs, references = one
        drawn[f"confusion-{name}.png"] = confusion_matrix(outputs, references, labels, title=name, items=items)
        drawn[f"reliability-{name}.png"] = reliability_diagram(
            outputs, references, temperature, title=name, items=items
        )
        if show is not None:
            drawn[f"mistakes-{name}.png"] = worst_mistakes(one, labels, show, title=name, items=items)
    return drawn


def _confusions(counts: npt.NDArray[np.int64], names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Name the most frequent wrong answers."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:NAMED]
    places = [divmod(int(place), wrong.shape[1]) for place in order]
    return [
        f"{names[row]} taken for {columns[column]}: {wrong[row, column]}"
        for row, column in places
        if wrong[row, column]
    ]


def _top(output: Output, power: float) -> float:
    """Return the highest probability of an output whose probabilities are raised to a power."""
    logs = np.log(np.maximum(np.array(list(output.values())), np.finfo(np.float64).tiny)) * power
    raised = np.exp(logs - logs.max())
    return float(raised.max() / raised.sum())


def short_names(labels: Sequence[str]) -> list[str]:
    """Shorten labels for an axis at their ends, after leaving out how those begin that would then look the same."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(_short(label), []).append(label)
    names = []
    for label in labels:
        group = alike[_short(label)]
        words = zip(*(other.split(" ") for other in group), strict=False)
        shared = itertools.takewhile(lambda found: len(set(found)) == 1, words)
        begins = sum(len(found[0]) + 1 for found in shared) if len(group) > 1 else 0
        names.append(_short(f"…{label[begins:]}" if begins else label))
    return names


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else f"{label[: LABEL_CHARACTERS - 1]}…"


def _figure(width: float, height: float, *, layout: Literal["constrained"] | None = "constrained") -> Figure:
    # The figure's own canvas: pyplot would keep global state and choose a backend.
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, dpi=110, format="png")
    return image.getvalue()
