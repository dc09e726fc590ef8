"""How far training is, and what the learning rate is there."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What ends training: a number of steps, a number of seconds, or whichever comes first."""

    max_steps: int | None
    max_seconds: float | None

    def progress(self, step: int, elapsed_seconds: float) -> float:
        """Share of the budget that is used, at most 1.

        With a number of steps the clock has no say, so that a run repeats exactly; it only ends the run.
        """
        if self.max_steps is not None:
            return min(1.0, step / self.max_steps)
        if self.max_seconds is not None:
            return min(1.0, elapsed_seconds / self.max_seconds)
        return 0.0

    def spent(self, step: int, elapsed_seconds: float) -> bool:
        """Whether training ends here."""
        out_of_time = self.max_seconds is not None and elapsed_seconds >= self.max_seconds
        return out_of_time or (self.max_steps is not None and step >= self.max_steps)


def learning_rate(
    schedule: Literal["linear", "inverse_sqrt"], *, peak: float, warmup_steps: int, step: int, progress: float
) -> float:
    """The learning rate of the update after ``step`` updates: a linear rise, then the schedule's fall.

    ``linear`` falls with the progress and reaches zero with the budget, so that a run that is bounded by time ends
    annealed too; ``inverse_sqrt`` falls with the square root of the steps and does not know the end.
    """
    rise = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    if schedule == "linear":
        return peak * rise * (1.0 - progress)
    start = max(1, warmup_steps)
    return peak * rise * float((start / max(step + 1, start)) ** 0.5)
