"""The settings of ``python -m train import``: a model that exists already, and the test set that scores it."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.errors import HydraException

from dragoman.strict import Setting, parse
from train.config.compose import chosen_task, compose_config, config_error, override_parser
from train.config.settings import IMPORTED, Config
from train.task_table import TASKS, find_task

# The word after ``python -m train``.
IMPORT = "import"
# Settings of an import, at the top level of its command.
TEST_SET = ("test", "reference", "columns", "validation")
# Of the section ``train`` an import needs these alone.
OF_TRAINING = ("device", "threads")


@dataclass(frozen=True, kw_only=True)
class ImportedData:
    """The section ``data`` of an import, which has no corpus; the settings stand at the top level of its command."""

    kind: Literal["import"] = IMPORTED
    test: Annotated[
        str | None,
        Setting("the test set: a held-out set (.parquet), a file of inputs, or a table; null scores nothing"),
    ] = None
    reference: Annotated[
        str | None, Setting("the file of what the inputs should give, line n for line n, beside a file of inputs")
    ] = None
    columns: Annotated[
        tuple[str, ...] | None, Setting("the columns of inputs and references in a table; null takes the task's own")
    ] = None
    validation: Annotated[
        str | None,
        Setting("a set of its own in one file, for what a task fits to weights that are given, such as a temperature"),
    ] = None

    @property
    def name(self) -> str:
        """The name of the sets in scores."""
        named = self.test or self.validation
        return Path(named).name.partition(".")[0] if named else "none"

    @property
    def files(self) -> list[Path]:
        """The files of the test set, none, one or two."""
        return [Path(file) for file in (self.test, self.reference) if file is not None]


def compose_import(settings: Sequence[str]) -> Config:
    """Compose the configuration of an import; raises ConfigError."""
    given: dict[str, Any] = {}
    others, problems = [], []
    for text in settings:
        key, _, value = text.partition("=")
        section, _, below = key.partition(".")
        if key in TEST_SET:
            try:
                given[key] = override_parser().parse_override(text).value()
            except HydraException as error:
                problems.append(f"{text!r} cannot be read ({str(error).splitlines()[0]}): put it in single quotes")
        elif section == "data" or (section == "train" and below not in OF_TRAINING):
            problems.append(f"{key} is no setting of an import, which trains nothing and reads no corpus: leave it out")
        elif key == "model.path" and not value:
            problems.append("model.path is empty: give the directory of the model")
        else:
            others.append(text)
    parsed = parse(given, ImportedData)
    problems += parsed.problems
    if not problems and parsed.value.reference is not None and parsed.value.test is None:
        problems.append("reference is the second file of a test set: give the first as well, test=FILE")
    if not problems and parsed.value.columns is not None and len(parsed.value.columns) != 2:
        problems.append(f"columns must be two, [INPUT,REFERENCE], got {list(parsed.value.columns)}")
    name = chosen_task(others)
    choice = find_task(name).imports if name in TASKS else None
    if name in TASKS and choice is None:
        problems.append(f"task={name} takes no model that exists already")
    elif not any(text.startswith("model.path=") for text in others):
        problems.append("model.path is required: the directory of the model, or its name on the Hugging Face hub")
    if problems:
        raise config_error(problems)
    path = next(text.partition("=")[2] for text in others if text.startswith("model.path="))
    model_name = Path(path.strip("'\"")).resolve().name
    # A bundle may be named after its corpus; in the place of that stands the model.
    plain = re.sub("[^a-z0-9]+", "-", model_name.lower()).strip("-") or "model"
    defaults = {"model": choice, "++model.name": f"'{model_name}'", "++data.name": f"'{plain}'"}
    named = {text.lstrip("+").partition("=")[0] for text in others}
    added = [f"{key}={value}" for key, value in defaults.items() if key.lstrip("+") not in named]
    config = compose_config([*added, *others])
    if "tracking.experiment" not in named:
        # There `register` looks for a model that no training has made.
        tracking = dataclasses.replace(config.tracking, experiment=config.name)
        config = dataclasses.replace(config, tracking=tracking)
    return dataclasses.replace(config, data=parsed.value)


def without_folders(config: Config, model_name: str) -> Config:
    """Name the model and the files of its test set without their folders, so that the bundle is the same anywhere."""
    data: ImportedData = config.data
    test, reference, validation = (
        None if file is None else Path(file).name for file in (data.test, data.reference, data.validation)
    )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(data, test=test, reference=reference, validation=validation),
        model=dataclasses.replace(config.model, path=model_name),
    )
