"""The section ``demo:`` of ``configs/task/<task>.yaml``: the training of a small model for the demonstrations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml

from dragoman import strict
from dragoman.errors import ConfigError
from dragoman.strict import Setting
from scoring.table import METRICS, metric

TASKS = Path(__file__).resolve().parents[2] / "configs" / "task"


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A training of minutes on built-in data, and the score that it must reach."""

    train: Annotated[tuple[str, ...], Setting("settings of python -m train, beside the task's own")] = ()
    minutes: Annotated[float, Setting("minutes of training", minimum=0)]
    search: Annotated[str | None, Setting("what `make tune` searches: a file of configs/tune")] = None
    metric: Annotated[
        Literal[tuple(METRICS)],  # type: ignore[valid-type]
        Setting("the score that says whether the model has learned"),
    ]
    reaches: Annotated[float, Setting("its value on the held-out test set, at least (at most where less is better)")]

    def has_learned(self, value: float) -> bool:
        """Tell whether a score is as good as it must be."""
        return value == self.reaches or self.is_better(value, self.reaches)

    def is_better(self, value: float, other: float) -> bool:
        """Tell whether one value of the metric is better than another."""
        return value > other if metric(self.metric).higher_is_better else value < other


def load_demo(task: str) -> Demo:
    """Read the section of a task; raises ConfigError saying what is wrong with it."""
    path = TASKS / f"{task}.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict) or "demo" not in document:
        raise ConfigError(f"{path} has no section 'demo'; say there how a small model of the task is trained")
    parsed = strict.parse(document["demo"], Demo)
    if parsed.problems:
        raise ConfigError(f"{path}, demo: {'; '.join(parsed.problems)}")
    found: Demo = parsed.value
    return found


def training_settings(task: str, demo: Demo, minutes: float | None = None) -> list[str]:
    """Give the words of ``python -m train``; ``minutes`` stands before the section's own."""
    return [f"task={task}", *demo.train, f"train.max_minutes={minutes or demo.minutes:g}"]
