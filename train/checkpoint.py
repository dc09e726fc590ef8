"""Checkpoints that are whole or absent: tensors as safetensors, the rest as JSON, a digest of each file, no pickle.

A model's tensors are its whole state dictionary: buffers, such as the running statistics of a batch normalisation, too.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dragoman import atomic
from dragoman.bundle.store import file_sha256
from dragoman.errors import DataError

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
DIGESTS = "digests.json"


@dataclass
class TrainingState:
    """The state of a training apart from tensors; floats survive JSON exactly."""

    config_digest: str
    step: int = 0
    units: int = 0
    epoch: int = 0
    position: int = 0
    elapsed_seconds: float = 0.0
    best_step: int | None = None
    best_score: float | None = None
    validations_since_best: int = 0
    validated_step: int | None = None
    logged: dict[str, list[float]] = field(default_factory=dict)
    """Figures of the steps since the last point of the loss curve."""


# checkpoints/
#   step-00000400/          the tensors, the state, and a digest of each file, renamed into place when all are written
#   .step-00000800…/        one that was being written, or removed, when the process was killed
#
# A checkpoint is written once and never changed. Those that are kept: the last few, and the best of each of them.
class Checkpoints:
    """The checkpoints of one run: the last few, and the best that each of them knows."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        """Keep the last ``keep`` checkpoints, at least two, so that a damaged one has a predecessor."""
        self.folder = folder
        self._keep = max(2, keep)

    def path(self, step: int) -> Path:
        """Name the directory of the checkpoint after ``step`` updates."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """List the steps that have a checkpoint, rising."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def save(self, state: TrainingState, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint beside its place, sync and rename it; then remove the ones that are no longer needed."""
        if self.path(state.step).exists():
            return
        with atomic.directory(self.path(state.step)) as folder:
            moments = {
                f"{name}/{key}": value.detach()
                for name, parameter in model.named_parameters()
                for key, value in optimizer.state[parameter].items()
            }
            for tensors, file in ((whole_state(model), MODEL), (moments, OPTIMIZER)):
                save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, folder / file)
            (folder / STATE).write_text(atomic.to_json(dataclasses.asdict(state)), encoding="utf-8")
            digests = {name: file_sha256(folder / name) for name in (MODEL, OPTIMIZER, STATE)}
            (folder / DIGESTS).write_text(atomic.to_json(digests), encoding="utf-8")
        # The best checkpoint that a kept one knows stays too: after damage to the last, its predecessor needs it.
        kept = set(self.steps()[-self._keep :])
        kept |= {best for best in [self._state(step).best_step for step in kept] if best is not None}
        for old in set(self.steps()) - kept:
            shutil.rmtree(self.path(old))

    def last(self) -> TrainingState | None:
        """Return the state of the last undamaged checkpoint, or None; raises DataError where all are damaged.

        The remains of a process that was killed while it wrote or removed a checkpoint are deleted.
        """
        steps = self.steps()
        whole = [step for step in steps if _undamaged(self.path(step))]
        if steps and not whole:
            raise DataError(f"every checkpoint in {self.folder} is damaged; start the run again with another run_dir")
        for remains in [*self.folder.glob(".step-*"), *(self.path(step) for step in set(steps) - set(whole))]:
            shutil.rmtree(remains)
        return self._state(whole[-1]) if whole else None

    def restore(self, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put a checkpoint's tensors into the model and its optimizer."""
        self.restore_model(step, model)
        tensors = load_file(self.path(step) / OPTIMIZER)
        parameters = dict(model.named_parameters())
        for place, value in tensors.items():
            name, _, key = place.rpartition("/")
            # AdamW keeps its step counter on the CPU, its moments beside the parameter.
            state = optimizer.state[parameters[name]]
            state[key] = value if key == "step" else value.to(parameters[name].device)

    def restore_model(self, step: int, model: torch.nn.Module) -> None:
        """Put a checkpoint's weights and buffers into the model."""
        set_state(model, load_file(self.path(step) / MODEL))

    def average(self, steps: list[int]) -> dict[str, torch.Tensor]:
        """Average the states of checkpoints, whose steps rise; a counter, which has no mean, is the last one's."""
        last = load_file(self.path(steps[-1]) / MODEL)
        real = [name for name, tensor in last.items() if tensor.is_floating_point()]
        total = {name: torch.zeros_like(last[name], dtype=torch.float64) for name in real}
        for step in steps:
            tensors = load_file(self.path(step) / MODEL)
            for name in real:
                total[name] += tensors[name].double()
        return {**last, **{name: (total[name] / len(steps)).to(last[name].dtype) for name in real}}

    def _state(self, step: int) -> TrainingState:
        return TrainingState(**json.loads((self.path(step) / STATE).read_text(encoding="utf-8")))


def whole_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Collect the parameters and buffers of a model; one that has several names comes once, under its first."""
    # Embeddings, for example, may be shared by encoder and decoder; safetensors refuses a tensor under two names.
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (name, tensor.detach()))
    return dict(found.values())


def set_state(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors, as ``whole_state`` names them, into a model's parameters and buffers."""
    for name, tensor in whole_state(model).items():
        tensor.copy_(tensors[name])


def _undamaged(folder: Path) -> bool:
    try:
        digests = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        return bool(digests) and all(file_sha256(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False
