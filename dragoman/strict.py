"""The one parser of dataclasses from nested mappings; it reports everything that is wrong at once.

Manifests, task options and limits, training configurations and the gate's settings all come this way. A field is
described by its annotation: ``Annotated[int, Setting("what it is", minimum=1)]``. Where a section's shape depends on
its ``kind`` (data, model), a ``Variants`` table says which dataclass belongs to which kind.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "???"


@dataclass(frozen=True)
class Setting:
    """The meaning of a setting, and the numbers that it accepts."""

    help: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Variants:
    """The dataclasses a section may have, by its ``kind``; resolving one may import its module."""

    kinds: Sequence[str]
    resolve: Callable[[str], type]


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A parsed value with the problems found on the way; ``value`` is meaningful only without problems."""

    value: Any
    problems: list[str]


def parse(value: object, kind: Any) -> Parsed:
    """Turn nested mappings into ``kind``; every unknown key, missing key, wrong type or range is one problem."""
    problems: list[str] = []
    return Parsed(value=_parse(value, kind, "", problems), problems=problems)


# Each function below adds to ``problems`` and goes on, so that a person sees all faults at once; its value counts only
# if it added none. ``where`` is the path of a value in the file, such as ``train.optimizer.lr``.


def _parse(value: Any, kind: Any, where: str, problems: list[str]) -> Any:
    if value == MISSING:
        problems.append(f"{where} is required and not set{_about(kind)}")
        return None
    if typing.get_origin(kind) is typing.Annotated:
        inner, *notes = typing.get_args(kind)
        for note in notes:
            if isinstance(note, Variants):
                chosen = value.get("kind") if isinstance(value, Mapping) else None
                if isinstance(chosen, str) and chosen in note.kinds:
                    return _parse_dataclass(value, note.resolve(chosen), where, problems)
                problems.append(f"{where}.kind must be one of {', '.join(note.kinds)}, got {chosen!r}")
                return None
        count = len(problems)
        parsed = _parse(value, inner, where, problems)
        for note in notes:
            # A value of the wrong type is one problem, not two; "auto" and null are in no range.
            if isinstance(note, Setting) and len(problems) == count and isinstance(parsed, int | float):
                low = note.minimum is not None and parsed < note.minimum
                high = note.maximum is not None and parsed > note.maximum
                if low or high:
                    problems.append(f"{where} must be {describe_range(note)}, got {parsed!r}")
        return parsed
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _parse_dataclass(value, kind, where, problems)
    return _parse_plain(value, kind, where, problems)


def _parse_dataclass(value: Any, kind: type, where: str, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{where} must be a group of settings, got {value!r}")
        return None
    # The annotations are the schema: unknown keys and missing ones are found by their names.
    hints = typing.get_type_hints(kind, include_extras=True)
    for key in value:
        if key not in hints:
            known = sorted(hints)
            problems.append(
                f"{_join(where, str(key))} is not a setting; {where or 'the top level'} takes {', '.join(known)}"
                f"{did_you_mean(str(key), known)}"
            )
    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    fields = {}
    for key, hint in hints.items():
        if key in value:
            fields[key] = _parse(value[key], hint, _join(where, key), problems)
        elif key not in optional:
            problems.append(f"{_join(where, key)} is required and not set{_about(hint)}")
    return None if problems else kind(**fields)


def _parse_plain(value: Any, kind: Any, where: str, problems: list[str]) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{where} must be a finite number, got {value!r}")
        return None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        # Python takes True for 1, and a person does not.
        if value in arguments and type(value) in {type(argument) for argument in arguments}:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_parse(item, arguments[0], f"{where}[{index}]", problems) for index, item in enumerate(value))
    elif origin is Mapping:
        # An object whose keys are checked elsewhere, such as the options of a task in a manifest, or by what it holds.
        if isinstance(value, Mapping):
            inner = arguments[1]
            if inner is Any:
                return dict(value)
            return {key: _parse(item, inner, _join(where, str(key)), problems) for key, item in value.items()}
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            trial: list[str] = []
            parsed = _parse(value, argument, where, trial)
            if not trial:
                return parsed
    elif kind is float and type(value) is int:
        return float(value)
    elif type(value) is kind:
        return value
    problems.append(f"{where} must be {describe(kind)}, got {value!r}")
    return None


def describe_range(setting: Setting) -> str:
    """Return the accepted range in words, such as 'at least 1' or 'between 0 and 1'."""
    low, high = (None if bound is None else f"{bound:g}" for bound in (setting.minimum, setting.maximum))
    if low is not None and high is not None:
        return f"between {low} and {high}"
    return f"at least {low}" if low is not None else f"at most {high}"


def describe(kind: Any) -> str:
    """Return a type in words for a person who writes a setting."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return describe(arguments[0])
    if origin is typing.Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(str(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is Mapping:
        return "an object"
    if origin is tuple:
        return f"a list like [a,b], each {describe(arguments[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(kind, "a group of settings")


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return 'did you mean X?' with the nearest known words, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _about(kind: Any) -> str:
    if typing.get_origin(kind) is not typing.Annotated:
        return ""
    return "".join(f" ({note.help})" for note in typing.get_args(kind)[1:] if isinstance(note, Setting))


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
