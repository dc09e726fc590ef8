"""The curves of a run: their points as the loop reports them, kept as one line each in ``history.jsonl``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dragoman import atomic
from train.run.run_dir import RunDir


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Figures of one moment of a training; ``validation`` tells those of a validation from those of steps."""

    step: int
    units: int
    elapsed_seconds: float
    progress: float
    figures: Mapping[str, float]
    validation: bool = False

    @classmethod
    def of_history(cls, point: Mapping[str, Any]) -> Self:
        """Make the point of a line of the history, which does not hold the progress."""
        figures = {name: value for name, value in point.items() if "/" in name}
        return cls(
            step=point["step"],
            units=point["units"],
            elapsed_seconds=point["elapsed_seconds"],
            progress=0.0,
            figures=figures,
            validation=any(name.startswith("validation/") for name in figures),
        )

    def as_history(self) -> dict[str, Any]:
        """Give the line of the history."""
        times = {"step": self.step, "units": self.units, "elapsed_seconds": self.elapsed_seconds}
        return {**times, **self.figures}


def append_history(run: RunDir, point: Mapping[str, Any]) -> None:
    """Add one point to the curves."""
    with run.history.open("a", encoding="utf-8") as file:
        file.write(_line(point))


def read_history(run: RunDir) -> list[dict[str, Any]]:
    """Read the points of the curves; a last line that a killed process left unfinished is passed over."""
    points = []
    for line in run.history.read_text(encoding="utf-8").splitlines() if run.history.exists() else []:
        try:
            points.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return points


def rewind_history(run: RunDir, step: int) -> None:
    """Remove the points after a step, which a resumed run makes again."""
    atomic.write_text(run.history, "".join(_line(point) for point in read_history(run) if point["step"] <= step))


def _line(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True) + "\n"
