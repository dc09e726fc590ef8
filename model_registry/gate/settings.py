"""The gate's settings: the section ``gate:`` of ``configs/task/<task>.yaml``, or of a file that a user gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from dragoman import strict
from dragoman.errors import ConfigError
from dragoman.strict import Setting, did_you_mean
from scoring.bootstrap import Mode
from scoring.table import GUARDS, METRICS

# An end of the interval is the resample at the share alpha; with fewer below, it would be nearly the smallest of all.
RESAMPLES_BELOW_LIMIT = 5
TASK_CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "task"
SECTION = "gate"


@dataclass(frozen=True, kw_only=True)
class Range:
    """The figures that a guard accepts, absolute or against the champion's; with nothing but nulls it is switched off.

    ``margin`` is for metrics: as in the comparison itself, the interval of the difference decides, and not its value.
    """

    min: Annotated[float | None, Setting("the least accepted figure")] = None
    max: Annotated[float | None, Setting("the greatest accepted figure")] = None
    fall: Annotated[float | None, Setting("how far a figure may be below the champion's", minimum=0)] = None
    rise: Annotated[float | None, Setting("how far a figure may be above the champion's", minimum=0)] = None
    margin: Annotated[float | None, Setting("what a candidate may surely lose of a metric", minimum=0)] = None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The points of sampled items whose answer must survive a change of the input; with two nulls it is switched off.

    Changed inputs are answered anew, which is why they are a sample.
    """

    min: Annotated[float | None, Setting("the least accepted share, in points", minimum=0, maximum=100)] = None
    fall: Annotated[float | None, Setting("how far it may surely be below the champion's", minimum=0)] = None
    sample: Annotated[int, Setting("how many items are tried", minimum=1)] = 1000


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
    above_baseline: Annotated[
        bool, Setting("a first champion must score better than its manifest's first baseline")
    ] = True
    mode: Mode = "non_inferiority"
    alpha: Annotated[float, Setting("the error rate of either decision", minimum=0.001, maximum=0.5)] = 0.05
    resamples: Annotated[int, Setting("resamples of the bootstrap", minimum=100, maximum=1_000_000)] = 2000
    seed: Annotated[int, Setting("seed of the bootstrap", minimum=0)] = 12345
    minimum_items: Annotated[int, Setting("items below which no comparison is decided", minimum=1)] = 500
    held_out: Literal["test", "validation"] = "test"
    guards: Mapping[str, Range]
    agreement: Mapping[str, Agreement]
    changed_in_batches_share: SampledShare = SampledShare(max=0.0)
    latency_p95_ms: Limit = Limit()
    latency_ratio: Limit = Limit(max=1.5)
    latency_sample: Annotated[int, Setting("items whose latency is measured", minimum=1)] = 100
    size_mb: Limit = Limit()
    size_ratio: Limit = Limit(max=2.0)


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
    parsed = strict.parse({"guards": {}, "agreement": {}, **section}, GateSettings)
    problems = [*parsed.problems, *_unknown_guards(section.get("guards"))]
    if not problems:
        guards = {name: limits for name, limits in parsed.value.guards.items() if limits != Range()}
        agreement = {name: one for name, one in parsed.value.agreement.items() if (one.min, one.fall) != (None, None)}
        settings: GateSettings = replace(parsed.value, guards=guards, agreement=agreement)
        problems = _contradictions(settings)
        if not problems:
            return settings
    raise ConfigError(f"{path} has {len(problems)} wrong settings: " + "; ".join(problems))


def _unknown_guards(section: Any) -> list[str]:
    """Report every name that is neither a guard nor a metric."""
    known = [*sorted(GUARDS), *METRICS]
    names = [str(name) for name in section if name not in known] if isinstance(section, Mapping) else []
    return [
        f"guards.{name} is not a setting; guards takes {', '.join(known)}{did_you_mean(name, known)}" for name in names
    ]


def _contradictions(settings: GateSettings) -> list[str]:
    problems = [
        f"guards.{name}.min must be at most guards.{name}.max, got {limits.min:g} and {limits.max:g}"
        for name, limits in settings.guards.items()
        if limits.min is not None and limits.max is not None and limits.min > limits.max
    ]
    problems += [
        f"guards.{name}.margin is for metrics ({', '.join(METRICS)}); give {name} a fall or a rise"
        for name, limits in settings.guards.items()
        if limits.margin is not None and name not in METRICS
    ]
    if settings.alpha * settings.resamples < RESAMPLES_BELOW_LIMIT:
        least = math.ceil(RESAMPLES_BELOW_LIMIT / settings.alpha)
        problems.append(f"resamples must be at least {least} with alpha {settings.alpha:g}, got {settings.resamples}")
    return problems
