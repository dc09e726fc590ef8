"""A strict reader of ``model-config.yaml``: TorchServe itself ignores unknown keys and wrong types silently."""

from collections.abc import Mapping
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from dragoman import strict
from dragoman.errors import ConfigError
from dragoman.strict import Setting

# Of the keys that TorchServe 0.12 knows (ModelConfig.java), those that the handler can live with, with the least value
# each may have. It answers whole requests: streaming, sequence, asynchronous and multi-process modes need another.
# None has a default, because TorchServe's own are not ours: as many workers as cores, each with a copy of the model.
LEAST = {
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": 1,
    "maxBatchDelay": 0,
    "jobQueueSize": 1,
    "responseTimeout": 1,
    "startupTimeout": 1,
    "maxRetryTimeoutInSec": 1,
}
_NUMBERS = [(key, Annotated[int, Setting(f"at least {least}", minimum=least)]) for key, least in LEAST.items()]
_ModelConfig = make_dataclass("_ModelConfig", [*_NUMBERS, ("deviceType", Literal["cpu", "gpu"], "cpu")])


def load_model_config(path: Path) -> dict[str, Any]:
    """Read and check the file; raises ConfigError with all its problems."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(config, Mapping):
        raise ConfigError(f"{path} must hold keys and values, got {type(config).__name__}")
    problems = strict.parse(config, _ModelConfig).problems
    if not problems and config["minWorkers"] > config["maxWorkers"]:
        problems = [f"minWorkers {config['minWorkers']} is more than maxWorkers {config['maxWorkers']}"]
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")
    return dict(config)
