"""The choice of an engine, from the table of a task, for a bundle and a machine; no task is known here.

Each task owns a table of the engines that can run it, ``name -> "module:Class"``, named after the package that they
need. A class has ``cannot_open(bundle)``, which returns a reason or None, and is constructed with the bundle, a device
and the arguments that its task gives.
"""

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dragoman.bundle.store import Bundle
from dragoman.errors import ConfigError
from dragoman.items.sizes import Capacity

log = logging.getLogger(__name__)

ENGINE_VARIABLE = "DRAGOMAN_ENGINE"
DEVICES = ("auto", "cpu", "cuda")
# Linux's driver has the first one, in containers too; the second stands for the GPU of Windows below WSL.
NVIDIA_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


class Engine(Protocol):
    """A model that is loaded and ready."""

    name: str
    device: str
    capacity: Capacity
    is_exact: bool
    """True if neighbours in a batch never change an answer, scores included, to the last bit."""

    def describe(self) -> Mapping[str, str | int]:
        """Say which engine runs where, for logs, commands and metrics."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


def configured_engine(table: Mapping[str, str]) -> str:
    """Return the engine that ``DRAGOMAN_ENGINE`` names, ``auto`` where it names none.

    Raises ConfigError for a name that is unknown, or whose package is not installed; nothing is imported to find out.
    """
    value = os.environ.get(ENGINE_VARIABLE) or "auto"
    if value not in ("auto", *table):
        raise ConfigError(
            f"{ENGINE_VARIABLE} must be {' or '.join(('auto', *table))}, got {value!r}; unset it for the default"
        )
    if value != "auto" and not _is_installed(value):
        raise ConfigError(
            f"{ENGINE_VARIABLE} is {value}, which is not installed here; pip install {value}, "
            "or unset it for the default"
        )
    return value


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def open_engine(table: Mapping[str, str], bundle: Bundle, *, engine: str, device: str, **arguments: Any) -> Any:
    """Load an engine of a task's table by name; ``auto`` takes the best that bundle, packages and machine allow.

    Raises ConfigError for a name that is unknown, or not possible here.
    """
    if engine not in ("auto", *table):
        raise ConfigError(f"engine must be auto, {' or '.join(table)}, got {engine!r}")
    if device not in DEVICES:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    names = list(table) if engine == "auto" else [engine]
    cuda = len(names) > 1 and device != "cpu" and torch_sees_cuda()
    try:
        name = select_engine(names, lambda name: _problem(table, bundle, name), cuda=cuda)
    except LookupError as reasons:
        raise ConfigError(
            f"no engine can run {bundle.path}: {reasons}; pip install 'dragoman[cpu]' or '[torch]'"
        ) from None
    return _engine_class(table[name])(bundle, device, **arguments)


def select_engine(names: Iterable[str], problem: Callable[[str], str | None], *, cuda: bool) -> str:
    """Return the most preferred name with no ``problem``; raises LookupError with the problems of all.

    torch comes first where it sees CUDA and last where it does not; otherwise the order is that of ``names``.
    """
    problems: list[str] = []
    for name in sorted(names, key=lambda name: (name == "torch") != cuda):
        reason = problem(name)
        if reason is None:
            return name
        problems.append(reason)
    raise LookupError("; ".join(problems))


def torch_sees_cuda(devices: Sequence[Path] = NVIDIA_DEVICES) -> bool:
    """Tell whether PyTorch can compute on a CUDA device.

    Importing it takes seconds and 200 MB, so it is asked only where it is installed beside a driver of NVIDIA's.
    """
    if not any(device.exists() for device in devices) or importlib.util.find_spec("torch") is None:
        return False
    try:
        return bool(importlib.import_module("torch").cuda.is_available())
    except Exception:
        # A broken installation, or one made for another system or driver, raises errors of any kind.
        log.warning("there is a driver of NVIDIA's, and PyTorch cannot be asked for a device", exc_info=True)
        return False


def torch_device(device: str) -> str:
    """Choose PyTorch's device, cuda or cpu; raises ConfigError for a CUDA device that is not there."""
    has_cuda = importlib.import_module("torch").cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError("device is cuda, but PyTorch sees no CUDA device; use device=cpu or auto")
    return "cuda" if has_cuda and device != "cpu" else "cpu"


def torch_gpu_count(devices: Sequence[Path] = NVIDIA_DEVICES) -> int:
    """Count the CUDA devices of PyTorch, which is imported only where ``torch_sees_cuda`` does so."""
    return int(importlib.import_module("torch").cuda.device_count()) if torch_sees_cuda(devices) else 0


def _problem(table: Mapping[str, str], bundle: Bundle, name: str) -> str | None:
    try:
        problem: str | None = _engine_class(table[name]).cannot_open(bundle)
    except (ImportError, OSError) as error:
        # OSError: a shared library that it needs is missing.
        return f"{name} is not installed ({error})"
    return problem


def _engine_class(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
