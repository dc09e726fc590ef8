"""Checks ``model-config.yaml``, of which TorchServe ignores unknown keys and wrong types without saying so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dragoman.errors import ConfigError

# Of the keys that TorchServe 0.12 knows (ModelConfig.java), those that the handler can live with, with the least value
# each may have. It answers whole requests: streaming, sequence, asynchronous and multi-process modes need another.
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
DEVICES = ("cpu", "gpu")


def load_model_config(path: Path) -> dict[str, Any]:
    """Read and check the file; raises ConfigError that tells all that is wrong with it."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(config, Mapping):
        raise ConfigError(f"{path} must hold keys and values, got {type(config).__name__}")
    if problems := _problems(config):
        raise ConfigError(f"{path}: {'; '.join(problems)}")
    return dict(config)


def _problems(config: Mapping[Any, Any]) -> list[str]:
    problems = []
    for key, value in config.items():
        if key == "deviceType":
            if value not in DEVICES:
                problems.append(f"deviceType must be {' or '.join(DEVICES)}, got {value!r}")
        elif key not in LEAST:
            problems.append(f"unknown key {key!r}, accepted are {', '.join([*LEAST, 'deviceType'])}")
        elif type(value) is not int or value < LEAST[key]:
            problems.append(f"{key} must be a whole number of at least {LEAST[key]}, got {value!r}")
    # TorchServe's defaults are no defaults of ours: as many workers as cores, each with a copy of the model.
    problems += [f"{key} is missing" for key in LEAST if key not in config]
    if not problems and config["minWorkers"] > config["maxWorkers"]:
        problems.append(f"minWorkers {config['minWorkers']} is more than maxWorkers {config['maxWorkers']}")
    return problems
