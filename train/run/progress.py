"""Progress of a training, shown to a person."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from train.run.history import CurvePoint

# Elsewhere than on a terminal: few enough lines for a log of hours.
SECONDS_BETWEEN_LINES = 10.0
# The length of the bar, in whose units the progress is told.
SCALE = 1000

Tell = Callable[[str, float], None]
"""A listener to the progress of a step before training: what is being done, and the share of it that is done."""


def silent(text: str, share: float) -> None:
    """Tell nobody."""


class Display(Protocol):
    """A display of the progress of a training."""

    def stage(self, text: str) -> None:
        """Say what begins now."""

    def show(self, point: CurvePoint) -> None:
        """Show a point of the curves."""


class TrainingProgress:
    """The display of the command line: a bar on a terminal, a line now and then elsewhere; always on standard error."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._last_line = 0.0
        self._step = ""
        self._figures: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(BarColumn(), TextColumn("{task.description}"), console=self._console)
            self._task = self._bar.add_task("starting", total=SCALE)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def stage(self, text: str) -> None:
        """Say what begins now."""
        self._console.print(text, markup=False)

    def working(self, text: str, share: float) -> None:
        """Show how much of a step before training is done; a step is told by its text."""
        if self._bar is not None:
            self._bar.update(self._task, completed=share * SCALE, description=text)
        elif text != self._step or time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._console.print(f"{text}: {share:.0%}" if text == self._step else text, markup=False)
            self._step, self._last_line = text, time.monotonic()

    def show(self, point: CurvePoint) -> None:
        """Show a point of the curves."""
        self._figures.update(point.figures)
        text = self._describe(point)
        if self._bar is not None:
            self._bar.update(self._task, completed=point.progress * SCALE, description=text)
        elif point.validation or time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._console.print(text, markup=False)

    def _describe(self, point: CurvePoint) -> str:
        shown = filter(None, [_shown(name, value) for name, value in self._figures.items()])
        left = "?"
        if point.progress > 0:
            seconds = round(point.elapsed_seconds * (1 - point.progress) / point.progress)
            left = f"{seconds // 60}:{seconds % 60:02d}"
        return "  ".join([f"step {point.step}", f"{point.progress:.0%}", *shown, f"{left} left"])


def _shown(name: str, value: float) -> str | None:
    """Show the training loss, the speed, and whatever a validation scores."""
    kind, _, figure = name.partition("/")
    if name == "train/loss":
        return f"loss {value:.3f}"
    if figure.endswith("_per_second"):
        return f"{value:,.0f} {figure.removesuffix('_per_second')}/s"
    return f"{figure} {value:.4g}" if kind == "validation" and figure != "loss" else None
