"""The budget of a training, and the learning rate along it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of a training: a number of steps, of units, of seconds, or whichever comes first."""

    max_steps: int | None
    max_units: int | None
    max_seconds: float | None

    def progress(self, *, step: int, units: int, elapsed_seconds: float) -> float:
        """Return the share of the budget that is used, at most 1.

        With a number of steps or units the clock has no say, so that a run repeats exactly; it only ends the run.
        A budget of nothing is used up before the first step.
        """
        limits = ((step, self.max_steps), (units, self.max_units))
        counted = [used / most if most else 1.0 for used, most in limits if most is not None]
        if not counted and self.max_seconds is not None:
            counted = [elapsed_seconds / self.max_seconds]
        return min(1.0, max(counted, default=0.0))

    def spent(self, *, step: int, units: int, elapsed_seconds: float) -> bool:
        """Tell whether training ends here."""
        limits = ((step, self.max_steps), (units, self.max_units), (elapsed_seconds, self.max_seconds))
        return any(most is not None and used >= most for used, most in limits)


def learning_rate(
    schedule: Literal["linear", "inverse_sqrt"], *, peak: float, warmup_steps: int, step: int, progress: float
) -> float:
    """Compute the learning rate of the update after ``step`` updates: a linear rise, then the schedule's fall.

    ``linear`` falls with the progress and reaches zero with the budget, so that a run that is bounded by time ends
    annealed too; ``inverse_sqrt`` falls with the square root of the steps and does not know the end.
    """
    rise = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    if schedule == "linear":
        return peak * rise * (1.0 - progress)
    start = max(1, warmup_steps)
    return peak * rise * float((start / max(step + 1, start)) ** 0.5)
