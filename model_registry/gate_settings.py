"""What the gate asks for: ``configs/gate.yaml`` as a frozen record, with all that is wrong in it told at once."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from dragoman.errors import ConfigError
from model_registry.paired_bootstrap import Mode

# An end of the interval is the resample at the share alpha: with fewer below it, it is nearly the smallest of all.
RESAMPLES_BELOW_LIMIT = 5
DEFAULT_SETTINGS = Path(__file__).resolve().parent.parent / "configs" / "gate.yaml"


@dataclass(frozen=True)
class Range:
    """The numbers that a setting takes, both ends included."""

    low: float
    high: float = math.inf


Share = Annotated[float, Range(0, 1)]


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """The limits of the guards and the sizes of their samples; null switches a limit off."""

    length_ratio_min: Annotated[float, Range(0)] | None
    length_ratio_max: Annotated[float, Range(0)] | None
    brevity_penalty_min: Share | None
    empty_share_max: Share | None
    copied_share_max: Share | None
    repeated_share_max: Share | None
    changed_in_batches_share_max: Share | None
    batch_sample: Annotated[int, Range(2)]
    latency_p95_ms_max: Annotated[float, Range(0)] | None
    latency_ratio_max: Annotated[float, Range(0)] | None
    latency_sample: Annotated[int, Range(1)]
    size_mb_max: Annotated[float, Range(0)] | None
    size_ratio_max: Annotated[float, Range(0)] | None


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """How a candidate is compared with the champion, and what it must not do whatever its score is."""

    metric: Literal["chrF", "BLEU"]
    mode: Mode
    margin: Annotated[float, Range(0.001, 100)]
    alpha: Annotated[float, Range(0.001, 0.5)]
    resamples: Annotated[int, Range(100, 1_000_000)]
    seed: Annotated[int, Range(0)]
    minimum_segments: Annotated[int, Range(1)]
    segments: Literal["test", "validation"]
    guards: GuardSettings


def load_settings(path: Path) -> GateSettings:
    """Read the file; raises ConfigError with all settings that are unknown, missing, wrong or contradictory."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"cannot read the gate's settings {path}: {error}; give a file like {DEFAULT_SETTINGS.name}"
        ) from error
    problems: list[str] = []
    settings = _record(value, GateSettings, "", problems)
    if settings is not None:
        problems = _contradictions(settings)
    if problems:
        raise ConfigError(f"{path} has {len(problems)} wrong settings: " + "; ".join(problems))
    return typing.cast(GateSettings, settings)


def _contradictions(settings: GateSettings) -> list[str]:
    problems = []
    low, high = settings.guards.length_ratio_min, settings.guards.length_ratio_max
    if low is not None and high is not None and low > high:
        problems.append(f"guards.length_ratio_min must be at most guards.length_ratio_max, got {low:g} and {high:g}")
    if settings.alpha * settings.resamples < RESAMPLES_BELOW_LIMIT:
        least = math.ceil(RESAMPLES_BELOW_LIMIT / settings.alpha)
        problems.append(f"resamples must be at least {least} with alpha {settings.alpha:g}, got {settings.resamples}")
    return problems


def _record(value: Any, kind: type, where: str, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{where or 'the file'} must be a group of settings, got {value!r}")
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    names = ", ".join(hints)
    problems += [f"{where}{key} is not a setting; accepted are {names}" for key in value if key not in hints]
    problems += [f"{where}{key} is missing; it is {_words(hint)}" for key, hint in hints.items() if key not in value]
    found = {key: _setting(value[key], hint, f"{where}{key}", problems) for key, hint in hints.items() if key in value}
    return None if problems else kind(**found)


def _setting(value: Any, kind: Any, where: str, problems: list[str]) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(value, typing.cast(type, kind), f"{where}.", problems)
    if not _fits(value, kind):
        problems.append(f"{where} must be {_words(kind)}, got {value!r}")
        return None
    return float(value) if type(value) is int and _plain(kind) is float else value


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Annotated:
        limits: Range = arguments[1]
        return _fits(value, arguments[0]) and limits.low <= value <= limits.high
    if origin is Literal:
        return value in arguments
    return type(value) is kind or (kind is float and type(value) is int)


def _plain(kind: Any) -> Any:
    """The bare type inside an annotated or optional one."""
    arguments = typing.get_args(kind)
    return _plain(arguments[0]) if arguments else kind


def _words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(argument) for argument in arguments)
    if origin is Annotated:
        limits: Range = arguments[1]
        limit = f"at least {limits.low:g}" if limits.high == math.inf else f"from {limits.low:g} to {limits.high:g}"
        return f"{_words(arguments[0])} {limit}"
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    return {int: "a whole number", float: "a number", types.NoneType: "null"}.get(kind, "a group of settings")
