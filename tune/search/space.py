"""The space of a search: the train settings that vary, their values, and their conditions."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dragoman.strict import Setting, Variants, did_you_mean, parse

Value = str | int | float | bool | None
Conditions = tuple[tuple[str, tuple[Value, ...]], ...]
"""Names of other parameters, with the values that they must have."""
# A step divides a range if it does so up to the rounding of decimal fractions.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class FloatRange:
    """A real number."""

    kind: Literal["float"]
    low: Annotated[float, Setting("least value")]
    high: Annotated[float, Setting("greatest value")]
    log: Annotated[bool, Setting("true for a scale of ratios")] = False
    step: Annotated[float | None, Setting("distance of the values from each other")] = None
    when: Conditions = ()


@dataclass(frozen=True, kw_only=True)
class IntRange:
    """A whole number."""

    kind: Literal["int"]
    low: Annotated[int, Setting("least value")]
    high: Annotated[int, Setting("greatest value")]
    log: Annotated[bool, Setting("true for a scale of ratios")] = False
    step: Annotated[int | None, Setting("distance of the values from each other; null is 1")] = None
    when: Conditions = ()


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """One of several values without an order."""

    kind: Literal["categorical"]
    choices: Annotated[tuple[str | int | float | bool | None, ...], Setting("the values")]
    when: Conditions = ()


Parameter = FloatRange | IntRange | Categorical
Space = Mapping[str, Parameter]
KINDS: dict[str, type] = {"float": FloatRange, "int": IntRange, "categorical": Categorical}


def parse_space(value: object, problems: list[str]) -> dict[str, Parameter]:
    """Parse the parameters that can be read; all that is wrong, with one or with the whole, joins ``problems``."""
    if not isinstance(value, Mapping) or not value:
        problems.append(f"space must name at least one setting of python -m train with its values, got {value!r}")
        return {}
    found = {str(name): _parameter(str(name), entry, problems) for name, entry in value.items()}
    space = {name: parameter for name, parameter in found.items() if parameter is not None}
    for name, parameter in space.items():
        problems += [f"space.{name}{problem}" for problem in _contradictions(parameter)]
        problems += [f"space.{name}.when{problem}" for problem in _wrong_conditions(parameter, space, list(found))]
    waiting = sorted(set(space) - set(in_order(space)))
    if waiting:
        problems.append(f"the conditions of {', '.join(waiting)} wait for each other: remove one when")
    return space


def _parameter(name: str, entry: object, problems: list[str]) -> Parameter | None:
    if not isinstance(entry, Mapping):
        problems.append(f"space.{name} must have a kind ({', '.join(KINDS)}) and its values, got {entry!r}")
        return None
    plain = {key: item for key, item in entry.items() if key != "when"}
    conditions = entry.get("when") or {}
    parsed = parse(plain, Annotated[Any, Variants(tuple(KINDS), KINDS.__getitem__)])
    problems += [f"space.{name}{'' if problem.startswith('.') else '.'}{problem}" for problem in parsed.problems]
    if not isinstance(conditions, Mapping):
        problems.append(f"space.{name}.when must be like {{train.schedule: [linear]}}, got {conditions!r}")
        return None
    if parsed.problems:
        return None
    when = tuple((str(key), tuple(item) if isinstance(item, list) else (item,)) for key, item in conditions.items())
    parameter: Parameter = KINDS[plain["kind"]](**{**vars(parsed.value), "when": when})
    return parameter


def _contradictions(parameter: Parameter) -> list[str]:
    """List the contradictions within one parameter."""
    if isinstance(parameter, Categorical):
        seen = [repr(choice) for choice in parameter.choices]
        twice = sorted({choice for choice in seen if seen.count(choice) > 1})
        if not seen:
            return [".choices is empty: give at least one value"]
        return [f".choices names {', '.join(twice)} more than once"] if twice else []
    low, high, step = parameter.low, parameter.high, parameter.step
    if low > high:
        return [f".low is {low:g}, which is more than high, {high:g}"]
    if parameter.log and low <= 0:
        return [f".low must be more than 0 where log is true, got {low:g}"]
    if step is None:
        return []
    if parameter.log:
        return [f".step is {step:g}, but a logarithmic range has no steps: leave out one of log and step"]
    if step <= 0:
        return [f".step must be more than 0, got {step:g}"]
    steps = (high - low) / step
    if abs(steps - round(steps)) > ROUNDING:
        return [f".step is {step:g}, which does not lead from low, {low:g}, to high, {high:g}"]
    return []


def _wrong_conditions(parameter: Parameter, space: Space, known: Sequence[str]) -> list[str]:
    found = []
    for parent, values in parameter.when:
        if parent not in known:
            found.append(f" names {parent}, which is not in the space{did_you_mean(parent, known)}")
        elif not values:
            found.append(f".{parent} is empty: give the values under which this setting counts")
        elif parent in space:
            impossible = [value for value in values if not _takes(space[parent], value)]
            found += [f".{parent} names {value!r}, which {parent} never is" for value in impossible]
    return found


def _takes(parameter: Parameter, value: Value) -> bool:
    if isinstance(parameter, Categorical):
        return any(value == choice and type(value) is type(choice) for choice in parameter.choices)
    if isinstance(value, bool) or not isinstance(value, int | float) or not parameter.low <= value <= parameter.high:
        return False
    if isinstance(parameter, IntRange) and not isinstance(value, int):
        return False
    steps = (value - parameter.low) / (parameter.step or (1 if isinstance(parameter, IntRange) else ROUNDING))
    return parameter.step is None or abs(steps - round(steps)) <= ROUNDING


def in_order(space: Space) -> list[str]:
    """Sort parameters, each after those that its condition names, otherwise as in the file; cycles are left out."""
    order: list[str] = []
    while True:
        ready = (
            name
            for name, parameter in space.items()
            if name not in order and all(parent in order or parent not in space for parent, _ in parameter.when)
        )
        found = next(ready, None)
        if found is None:
            return order
        order.append(found)


def choose(space: Space, pick: Callable[[str, Parameter], Value]) -> dict[str, Value]:
    """Pick a value for every parameter whose condition holds, in a fixed order."""
    point: dict[str, Value] = {}
    for name in in_order(space):
        if active(space[name], point):
            point[name] = pick(name, space[name])
    return point


def active(parameter: Parameter, point: Mapping[str, Value]) -> bool:
    """Return whether the condition of a parameter holds; a parent that does not count itself fulfils none."""
    return all(parent in point and point[parent] in values for parent, values in parameter.when)


def suggest(space: Space, trial: Any) -> dict[str, Value]:
    """Ask the sampler of an Optuna trial for a point."""

    def pick(name: str, parameter: Parameter) -> Value:
        if isinstance(parameter, Categorical):
            chosen: Value = trial.suggest_categorical(name, parameter.choices)
        elif isinstance(parameter, IntRange):
            chosen = trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step or 1, log=parameter.log)
        else:
            chosen = trial.suggest_float(name, parameter.low, parameter.high, step=parameter.step, log=parameter.log)
        return chosen

    return choose(space, pick)


def baseline(space: Space, defaults: Mapping[str, Any]) -> dict[str, Value]:
    """Return the configuration's own values, as far as they lie in the space."""
    point: dict[str, Value] = {}
    for name in in_order(space):
        if name in defaults and active(space[name], point) and _takes(space[name], defaults[name]):
            point[name] = defaults[name]
    return point


def extremes(parameter: Parameter) -> list[Value]:
    """Return the values between which all others lie; of a categorical parameter, all."""
    return list(parameter.choices) if isinstance(parameter, Categorical) else [parameter.low, parameter.high]


def corners(space: Space) -> list[dict[str, Value]]:
    """Return points that together hold every extreme value of every parameter, conditions aside."""
    found = {name: extremes(parameter) for name, parameter in space.items()}
    most = max(map(len, found.values()), default=0)
    return [{name: values[index % len(values)] for name, values in found.items()} for index in range(most)]


def as_settings(point: Mapping[str, Value]) -> list[str]:
    """Write a point as ``key=value`` settings of ``python -m train``, in Hydra's grammar."""
    settings = []
    for name, value in point.items():
        text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
        if isinstance(value, str) and not value.replace("_", "").replace("-", "").isalnum():
            text = "'" + value.replace("'", "\\'") + "'"
        settings.append(f"{name}={text}")
    return settings
