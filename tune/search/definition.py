"""The definition of a search, read from ``configs/tune/`` and the command line; all mistakes are reported at once."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dragoman.errors import ConfigError
from dragoman.strict import did_you_mean, parse
from train.config.compose import CONFIG_DIR, GROUPS, choices, chosen_task, compose_config, flatten, right_elsewhere
from train.config.settings import Config
from train.tasks.base import task_class
from tune.search.settings import MEASURED, HyperbandSettings, NoPruning, SearchSettings, WilcoxonSettings
from tune.search.space import Space, as_settings, corners, parse_space

FOLDER = CONFIG_DIR / "tune"
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KEYS = (*(field.name for field in dataclasses.fields(SearchSettings)), "space", "constraints")
# Where a worker computes and what it records to are its own affair.
OF_THE_WORKER = re.compile(r"tracking\..+|train\.(device|threads)")


@dataclass(frozen=True, kw_only=True)
class SearchDefinition:
    """A valid search, with the configuration that every trial starts from."""

    search: SearchSettings
    space: Space
    constraints: Mapping[str, float]
    base: Config

    @property
    def rising(self) -> dict[str, bool]:
        """The measurements of a trial, and whether more of each is better."""
        return {**task_class(self.base.task.name).figures(), **MEASURED}

    @property
    def packaged(self) -> tuple[str, ...]:
        """The measurements of a trial's packaged model that an objective or a constraint asks for."""
        return tuple(name for name in MEASURED if name in {*self.search.objectives, *self.constraints})

    @property
    def pruned_by(self) -> str:
        """The validation figure that a pruner compares and folds are averaged by: the first objective that is one."""
        return next(
            (name for name in self.search.objectives if name not in MEASURED),
            task_class(self.base.task.name).objective(),
        )

    @property
    def shared(self) -> dict[str, Any]:
        """The part that makes trials comparable, in which all workers of a study must agree."""
        search = self.search
        return {
            "objectives": list(search.objectives),
            "constraints": dict(self.constraints),
            "folds": search.folds,
            "report_every_units": search.report_every_units,
            "settings": _of_the_study([*search.settings, *search.trial]),
            "final": _of_the_study([*search.settings, *search.final]),
            "space": json.loads(json.dumps({name: vars(item) for name, item in self.space.items()})),
        }

    @property
    def own(self) -> list[str]:
        """This worker's own part of the settings of the final training."""
        return [text for text in (*self.search.settings, *self.search.final) if of_the_worker(key_of(text))]


def key_of(text: str) -> str:
    """Return the name of the setting in ``key=value``."""
    return text.partition("=")[0].strip().lstrip("+")


def of_the_worker(key: str) -> bool:
    """Return whether workers of one study may differ in this setting."""
    return OF_THE_WORKER.fullmatch(key) is not None


def load_definition(arguments: Sequence[str], *, folder: Path = FOLDER) -> SearchDefinition:
    """Read the search for ``key=value`` arguments; raises one ConfigError that lists all mistakes."""
    problems: list[str] = []
    value = _merged(arguments, folder, problems)
    space = parse_space(value.pop("space", None), problems)
    constraints = _constraints(value.pop("constraints", None) or {}, problems)
    parsed = parse(value, SearchSettings)
    problems += parsed.problems
    if parsed.problems:
        raise _error(problems)
    search: SearchSettings = parsed.value
    problems += _contradictions(search, space)
    base = _compose([*search.settings, *search.trial], problems)
    if base is None and not any(key_of(text) in ("search", "task") for text in arguments):
        # The task's own search sets what another task does not know, so that its settings are told apart here.
        own = [text for text in arguments if key_of(text).partition(".")[0] not in KEYS]
        elsewhere = right_elsewhere(own, chosen_task(arguments))
        if elsewhere:
            raise ConfigError(elsewhere)
    if base is not None:
        problems += _wrong_objectives(search, base)
        known = [*GROUPS, *(name for name in flatten(base) if name not in ("study", "run_dir", "name"))]
        for name in space:
            if name not in known:
                problems.append(f"space.{name} is not a setting of python -m train{did_you_mean(name, known)}")
        if not problems:
            problems += _wrong_values(search, space)
    if problems or base is None:
        raise _error(problems)
    return SearchDefinition(search=search, space=space, constraints=constraints, base=base)


def default_search(arguments: Sequence[str]) -> str | None:
    """Name the search that a task starts with, where it has one."""
    return task_class(chosen_task(arguments)).search


def trial_settings(search: SearchSettings, point: Mapping[str, Any]) -> list[str]:
    """Return the settings of one trial."""
    grid = f"train.validate_every_units={search.report_every_units}"
    return [*search.settings, *search.trial, grid, *as_settings(point)]


def _of_the_study(settings: Sequence[str]) -> list[str]:
    """Keep the last value of each setting, sorted; without the worker's own."""
    last = {key_of(text): text for text in settings}
    return sorted(text for key, text in last.items() if not of_the_worker(key))


def _merged(arguments: Sequence[str], folder: Path, problems: list[str]) -> dict[str, Any]:
    asked = [text.partition("=")[2] for text in arguments if text.startswith("search=")]
    name = asked[-1] if asked else default_search(arguments)
    known = choices("tune", folder.parent)
    if name is None:
        raise ConfigError(
            f"the task {chosen_task(arguments)} has no search of its own: name one with search=NAME, of "
            f"{', '.join(known)}, or write configs/tune/NAME.yaml"
        )
    if name not in known:
        raise ConfigError(f"search must be one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}")
    value: dict[str, Any] = dict(OmegaConf.to_container(OmegaConf.load(folder / f"{name}.yaml"), resolve=True))
    extra: list[str] = []
    for text in arguments:
        key, equals, _ = text.partition("=")
        if not equals or not key:
            problems.append(f"{text!r} is not a setting: write key=value, such as trials=20 or train.seed=3")
        elif key.partition(".")[0] in KEYS:
            _override(value, key, text, problems)
        elif key != "search":
            extra.append(text)
    if isinstance(value.get("settings", []), list):
        value["settings"] = [*value.get("settings", []), *extra]
    for part in ("trial", "final"):
        fixed = value.get(part)
        if not isinstance(fixed, list):
            continue
        fixed = [str(item) for item in fixed]
        for text in extra:
            # ``trial`` and ``final`` have the last word: a setting that they fix would go unheard.
            instead = [text if key_of(item) == key_of(text) else item for item in fixed]
            if instead != fixed:
                given, wanted = ",".join(fixed), ",".join(instead)
                problems.append(f"{text} would be overridden by {part}=[{given}]: write {part}=[{wanted}] instead")
    return value


def _override(value: dict[str, Any], key: str, text: str, problems: list[str]) -> None:
    try:
        item = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text.partition('=')[2]}"]))["value"]
    except (OmegaConfBaseException, ValueError) as error:
        problems.append(f"{text!r} cannot be read ({str(error).splitlines()[0]})")
        return
    group, _, rest = key.partition(".")
    if not rest:
        value[group] = item
        return
    inside = value.get(group)
    inside = value[group] = dict(inside) if isinstance(inside, Mapping) else {}
    # The settings of a space have dots in their own names.
    name = next((name for name in inside if group == "space" and rest.startswith(f"{name}.")), None)
    if name is not None:
        if not isinstance(inside[name], Mapping):
            problems.append(f"{text!r} reaches into space.{name}, which is {inside[name]!r} and no range of values")
            return
        inside[name] = {**inside[name], rest.removeprefix(f"{name}."): item}
    elif rest == "kind" and inside.get("kind") != item:
        # The settings of the file's kind mean nothing to another one.
        value[group] = {"kind": item}
    else:
        inside[rest] = item


def _constraints(value: object, problems: list[str]) -> dict[str, float]:
    if not isinstance(value, Mapping):
        problems.append(f"constraints must be like {{size_mb: 10}}, got {value!r}")
        return {}
    for name, limit in value.items():
        if name not in MEASURED:
            hint = did_you_mean(str(name), tuple(MEASURED))
            problems.append(f"constraints.{name} is not measured; {', '.join(MEASURED)} are{hint}")
        elif isinstance(limit, bool) or not isinstance(limit, int | float) or limit <= 0:
            problems.append(f"constraints.{name} must be a number more than 0, got {limit!r}")
    return dict(value)


def _contradictions(search: SearchSettings, space: Space) -> list[str]:
    """List the contradictions between settings."""
    found = []
    if not STUDY_NAME.fullmatch(search.study):
        found.append(f"study must be letters, digits, '.', '_' or '-', at most 100, got {search.study!r}")
    if search.trials is None and search.hours is None:
        found.append("trials and hours are both null: set one, so that the search ends")
    if search.hours is not None and search.hours <= 0:
        found.append(f"hours must be more than 0, got {search.hours:g}")
    if not 1 <= len(search.objectives) <= 2 or len(set(search.objectives)) != len(search.objectives):
        found.append(f"objectives must be one or two different ones, got [{', '.join(search.objectives)}]")
    elif len(search.objectives) == 2 and not isinstance(search.pruner, NoPruning):
        found.append(
            f"pruner.kind is {search.pruner.kind}, but no trial can be pruned for two objectives: set pruner.kind=none"
        )
    if isinstance(search.pruner, WilcoxonSettings):
        found += _idle_wilcoxon(search.pruner, search.folds)
    for name in sorted(set(space) & {key_of(text) for text in (*search.settings, *search.trial, *search.final)}):
        found.append(f"{name} is both fixed and in the space: leave it out of one of them")
    return found


def _wrong_objectives(search: SearchSettings, base: Config) -> list[str]:
    """List the objectives that the task of the trials does not measure, or not early enough."""
    figures, objectives = task_class(base.task.name).figures(), search.objectives
    known = [*figures, *MEASURED]
    unknown = [name for name in objectives if name not in known]
    if unknown:
        listed = ", ".join(known)
        return [f"objectives names {name!r}; {listed} are measured{did_you_mean(name, known)}" for name in unknown]
    if len(objectives) == 2 and objectives[0] in MEASURED:
        return [
            f"two objectives must begin with a validation figure ({', '.join(figures)}), got [{', '.join(objectives)}]"
        ]
    if objectives and set(objectives) <= set(MEASURED) and not isinstance(search.pruner, NoPruning):
        kind = search.pruner.kind
        return [f"pruner.kind is {kind}, but {objectives[0]} is not known before the end: set pruner.kind=none"]
    return []


def _idle_wilcoxon(pruner: WilcoxonSettings, folds: int) -> list[str]:
    """Report a signed-rank test that could not end a trial before its last fold, whatever the scores."""
    if pruner.p_threshold == 0:
        return ["pruner.p_threshold is 0, and no p-value is below it: set it to 0.1, say"]
    # Of n differences that all have one sign the p-value is 0.5**n, and there is none less.
    least = max(2, pruner.startup_folds, math.floor(-math.log2(pruner.p_threshold)) + 1)
    if folds > least:
        return []
    return [
        f"pruner.kind=wilcoxon stops nothing on {folds} folds: with pruner.p_threshold={pruner.p_threshold:g} and "
        f"pruner.startup_folds={pruner.startup_folds} it takes folds={least + 1}"
    ]


def _wrong_values(search: SearchSettings, space: Space) -> list[str]:
    """List the errors of training at the corners of the space, and missing settings that a search needs."""
    found: list[str] = []
    counts_units = search.folds > 1 or isinstance(search.pruner, HyperbandSettings)
    for corner in corners(space):
        config = _compose(trial_settings(search, corner), found)
        if config is not None and config.train.max_units is None and counts_units:
            found.append("folds and hyperband count on train.max_units: name it in trial=[train.max_units=…]")
    _compose([*search.settings, *search.final], found)
    return list(dict.fromkeys(found))


def _compose(settings: Sequence[str], problems: list[str]) -> Config | None:
    try:
        return compose_config(settings)
    except ConfigError as error:
        lines = [line.removeprefix("  - ") for line in str(error).splitlines() if line.startswith("  - ")]
        problems += lines or [str(error).replace(" (python -m train --help lists the settings)", "")]
        return None


def _error(problems: Sequence[str]) -> ConfigError:
    problems = list(dict.fromkeys(problems))
    if len(problems) == 1:
        return ConfigError(f"{problems[0]} (python -m tune --help lists the settings)")
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return ConfigError(f"{len(problems)} settings are wrong (python -m tune --help lists them):\n{listed}")
