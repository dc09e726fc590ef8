"""The gate's settings: the section ``gate:`` of ``configs/task/<task>.yaml``, or of a file that a user gives."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from dragoman import strict
from dragoman.errors import ConfigError
from dragoman.strict import Setting
from scoring.bootstrap import Mode
from scoring.table import GUARDS, METRICS

# An end of the interval is the resample at the share alpha; with fewer below, it would be nearly the smallest of all.
RESAMPLES_BELOW_LIMIT = 5
TASK_CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "task"
SECTION = "gate"


@dataclass(frozen=True, kw_only=True)
class Range:
    """The figures that a guard accepts; null leaves a side open, and both sides switch the guard off."""

    min: Annotated[float | None, Setting("the least accepted figure")] = None
    max: Annotated[float | None, Setting("the greatest accepted figure")] = None


@dataclass(frozen=True, kw_only=True)
class SampledShare:
    """The greatest share of sampled items that is accepted; null switches the guard off."""

    max: Annotated[float | None, Setting("the greatest accepted share", minimum=0, maximum=1)] = None
    sample: Annotated[int, Setting("how many items are tried", minimum=2)] = 64


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The greatest figure that is accepted; null switches the guard off."""

    max: Annotated[float | None, Setting("the greatest accepted figure", minimum=0)] = None


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """The rules of a comparison with the champion, and the guards that hold whatever the score is."""

    metric: Literal[tuple(METRICS)]  # type: ignore[valid-type]
    margin: Annotated[float, Setting("what a candidate may lose, or must gain, in the metric's unit", minimum=0.001)]
    floor: Annotated[float | None, Setting("the score that a first champion needs, in the metric's unit, or null")]
    mode: Mode = "non_inferiority"
    alpha: Annotated[float, Setting("the error rate of either decision", minimum=0.001, maximum=0.5)] = 0.05
    resamples: Annotated[int, Setting("resamples of the bootstrap", minimum=100, maximum=1_000_000)] = 2000
    seed: Annotated[int, Setting("seed of the bootstrap", minimum=0)] = 12345
    minimum_items: Annotated[int, Setting("items below which no comparison is decided", minimum=1)] = 500
    held_out: Literal["test", "validation"] = "test"
    guards: Mapping[str, Range]
    changed_in_batches_share: SampledShare = SampledShare(max=0.0)
    latency_p95_ms: Limit = Limit()
    latency_ratio: Limit = Limit(max=1.5)
    latency_sample: Annotated[int, Setting("items whose latency is measured", minimum=1)] = 100
    size_mb: Limit = Limit()
    size_ratio: Limit = Limit(max=2.0)


# One field for each guard that a task has, so that a wrong name is reported like any other wrong setting.
_Guards = dataclasses.make_dataclass("_Guards", [(name, Range, Range()) for name in GUARDS], frozen=True, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class _GuardSection:
    guards: _Guards  # type: ignore[valid-type]


def task_settings(task: str) -> GateSettings:
    """Read the gate of a task; raises ConfigError."""
    path = TASK_CONFIGS / f"{task}.yaml"
    value = _read(path)
    if not isinstance(value, Mapping) or SECTION not in value:
        raise ConfigError(
            f"{path} has no section {SECTION}: with what a candidate must be, at least metric, margin and floor; "
            "write one, or give the settings with --gate FILE"
        )
    return _parsed(path, value[SECTION])


def load_settings(path: Path) -> GateSettings:
    """Read a file that holds the settings, or a section ``gate:`` with them.

    Raises ConfigError with all settings that are unknown, missing, wrong or contradictory.
    """
    value = _read(path)
    return _parsed(path, value[SECTION] if isinstance(value, Mapping) and SECTION in value else value)


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"cannot read the gate's settings {path}: {error}; give a file with a section like {SECTION}: of a file in "
            "configs/task/"
        ) from error


def _parsed(path: Path, section: Any) -> GateSettings:
    if not isinstance(section, Mapping):
        raise ConfigError(f"{path} must hold a group of settings, or a section {SECTION}: with one, got {section!r}")
    section = {"guards": {}, **section}
    # The parser takes the mapping of guards as it is; the second pass reads what is in it.
    parsed = strict.parse(section, GateSettings)
    guards = strict.parse({"guards": section["guards"]}, _GuardSection)
    problems = list(dict.fromkeys([*parsed.problems, *guards.problems]))
    if not problems:
        ranges = {name: getattr(guards.value.guards, name) for name in section["guards"]}
        settings: GateSettings = replace(
            parsed.value, guards={name: one for name, one in ranges.items() if one != Range()}
        )
        problems = _contradictions(settings)
        if not problems:
            return settings
    raise ConfigError(f"{path} has {len(problems)} wrong settings: " + "; ".join(problems))


def _contradictions(settings: GateSettings) -> list[str]:
    problems = [
        f"guards.{name}.min must be at most guards.{name}.max, got {limits.min:g} and {limits.max:g}"
        for name, limits in settings.guards.items()
        if limits.min is not None and limits.max is not None and limits.min > limits.max
    ]
    if settings.alpha * settings.resamples < RESAMPLES_BELOW_LIMIT:
        least = math.ceil(RESAMPLES_BELOW_LIMIT / settings.alpha)
        problems.append(f"resamples must be at least {least} with alpha {settings.alpha:g}, got {settings.resamples}")
    return problems
