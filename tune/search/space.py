"""The space of a search: which train settings vary, between which values, and under which condition."""

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
    log: Annotated[bool, Setting("whether to think in ratios")] = False
    step: Annotated[float | None, Setting("distance of the values from each other")] = None
    when: Conditions = ()

    def extremes(self) -> list[Value]:
        """The values between which all others lie."""
        return [self.low, self.high]


@dataclass(frozen=True, kw_only=True)
class IntRange:
    """A whole number."""

    kind: Literal["int"]
    low: Annotated[int, Setting("least value")]
    high: Annotated[int, Setting("greatest value")]
    log: Annotated[bool, Setting("whether to think in ratios")] = False
    step: Annotated[int | None, Setting("distance of the values from each other; null is 1")] = None
    when: Conditions = ()

    def extremes(self) -> list[Value]:
        """The values between which all others lie."""
        return [self.low, self.high]


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """One of several values without an order."""

    kind: Literal["categorical"]
    choices: Annotated[tuple[str | int | float | bool | None, ...], Setting("the values")]
    when: Conditions = ()

    def extremes(self) -> list[Value]:
        """All of them."""
        return list(self.choices)


Parameter = FloatRange | IntRange | Categorical
Space = Mapping[str, Parameter]
KINDS: dict[str, type] = {"float": FloatRange, "int": IntRange, "categorical": Categorical}


def parse_space(value: object, problems: list[str]) -> dict[str, Parameter]:
    """The parameters that can be read; what is wrong with each, and with the whole, is added to ``problems``."""
    if not isinstance(value, Mapping) or not value:
        problems.append(f"space must name at least one setting of python -m train with its values, got {value!r}")
        return {}
    found = {str(name): _parameter(str(name), entry, problems) for name, entry in value.items()}
    space = {name: parameter for name, parameter in found.items() if parameter is not None}
    for name, parameter in space.items():
        problems += [f"space.{name}{problem}" for problem in _contradictions(parameter)]
        problems += [f"space.{name}.when{problem}" for problem in _wrong_conditions(parameter, space, list(found))]
    problems += _cycles(space)
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
    """What is wrong with one parameter by itself."""
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


def _cycles(space: Space) -> list[str]:
    """Conditions that wait for each other; a parameter whose parent is unknown is complained of elsewhere."""
    settled: set[str] = set()
    waiting = dict(space)
    while ready := [
        name for name, item in waiting.items() if all(p in settled or p not in space for p, _ in item.when)
    ]:
        settled.update(ready)
        waiting = {name: item for name, item in waiting.items() if name not in settled}
    return [f"the conditions of {', '.join(sorted(waiting))} wait for each other: remove one when"] if waiting else []


def in_order(space: Space) -> list[str]:
    """The parameters, each after those that its condition names; otherwise as the file has them."""
    order: list[str] = []
    while len(order) < len(space):
        order.append(next(n for n in space if n not in order and all(parent in order for parent, _ in space[n].when)))
    return order


def choose(space: Space, pick: Callable[[str, Parameter], Value]) -> dict[str, Value]:
    """One point of the space: a value for every parameter whose condition holds, in a fixed order."""
    point: dict[str, Value] = {}
    for name in in_order(space):
        if active(space[name], point):
            point[name] = pick(name, space[name])
    return point


def active(parameter: Parameter, point: Mapping[str, Value]) -> bool:
    """Whether a parameter counts, given the values of its parents; one without a counting parent does not."""
    return all(parent in point and point[parent] in values for parent, values in parameter.when)


def suggest(space: Space, trial: Any) -> dict[str, Value]:
    """The point that a sampler proposes for an Optuna trial."""

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
    """The configuration's own values, as far as they lie in the space."""
    point: dict[str, Value] = {}
    for name in in_order(space):
        if name in defaults and active(space[name], point) and _takes(space[name], defaults[name]):
            point[name] = defaults[name]
    return point


def corners(space: Space) -> list[dict[str, Value]]:
    """Points that together hold every extreme value of every parameter, conditions aside."""
    extremes = {name: parameter.extremes() for name, parameter in space.items()}
    most = max(map(len, extremes.values()), default=0)
    return [{name: values[index % len(values)] for name, values in extremes.items()} for index in range(most)]


def as_settings(point: Mapping[str, Value]) -> list[str]:
    """A point as ``key=value`` settings of ``python -m train``."""
    return [f"{name}={_text(value)}" for name, value in point.items()]


def _text(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and not value.replace("_", "").replace("-", "").isalnum():
        return "'" + value.replace("'", "\\'") + "'"
    return repr(value) if isinstance(value, float) else str(value)
