"""Weights that exist already: a directory, or a repository of the Hugging Face hub at one revision."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.manifest import BaseModel
from dragoman.errors import DataError, UnavailableError
from dragoman.tasks.base import task_class
from train.data.hub import require_hub
from train.task_table import TASKS, find_task

WEIGHTS, CONFIG = "model.safetensors", "config.json"
# Loaded with weights_only, so that nothing in the file is run; copies, since safetensors refuses tensors that share.
CONVERSION = (
    "import torch; from safetensors.torch import save_file; "
    "save_file({{name: tensor.clone() for name, tensor in torch.load('{pickle}', weights_only=True).items()}}, "
    "'{weights}', metadata={{'format': 'pt'}})"
)
# As many names as fit on a line or two.
MOST_NAMES = 12


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A directory with the files of a model, and its name in manifests."""

    folder: Path
    base_model: BaseModel


def find_pretrained(
    path: str, revision: str | None, files: Sequence[str], *, task: str, hints: Mapping[str, str] | None = None
) -> Pretrained:
    """Find a model with these files, of a family that the task takes; ``hints`` say what to do where one is missing.

    Raises DataError for a wrong path or model, UnavailableError where the hub is needed.
    """
    if Path(path).is_dir():
        if revision is not None:
            raise DataError(
                f"model.revision is for models of the hub, but model.path={path} is a directory: leave it out"
            )
        folder, commit, name = Path(path), None, Path(path).resolve().name
    elif path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise DataError(f"model.path: {path} is not a directory; give one with {', '.join(files)}")
    else:
        folder = _download(path, revision, files)
        # The hub's cache keeps each snapshot in a folder that is named by its commit.
        commit, name = folder.name, path
    # Before the files: a model of another family has others, and lacks these rightly.
    if (folder / CONFIG).is_file():
        require_family(folder, task)
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise DataError(_lacking(folder, missing, files, hints or {}))
    base = BaseModel(name=name, revision=commit, digest=files_digest(folder, files))
    return Pretrained(folder=folder, base_model=base)


def files_digest(folder: Path, files: Sequence[str]) -> str:
    """Compute ``sha256:…`` over the names and contents of files."""
    digest = hashlib.sha256()
    for name in sorted(files):
        with (folder / name).open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return f"sha256:{digest.hexdigest()}"


def require_family(folder: Path, task: str) -> None:
    """Raise DataError when a model directory holds a model of a family that the task does not take."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = find_task(task).family(config)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"cannot read {folder / CONFIG}: {error}") from error
    accepted = task_class(task).model_config_keys
    if found not in accepted:
        others = [name for name in TASKS if find_task(name).family(config) in task_class(name).model_config_keys]
        hint = f"; it is one for task={' or task='.join(others)}" if others else ""
        raise DataError(
            f"{folder} holds a model of type {found!r}; {task} takes {' or '.join(accepted)} (model_type){hint}"
        )


def _lacking(folder: Path, missing: Sequence[str], files: Sequence[str], hints: Mapping[str, str]) -> str:
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    listed = ", ".join([*there[:MOST_NAMES], *(["…"] if len(there) > MOST_NAMES else [])])
    text = f"{folder} lacks {', '.join(missing)}; a model to start from has {', '.join(files)}, and there is "
    text += listed or "nothing"
    pickle = folder / "pytorch_model.bin"
    if WEIGHTS in missing and pickle.is_file():
        command = CONVERSION.format(pickle=pickle, weights=folder / WEIGHTS)
        text += f'; {pickle.name} is a pickle, which may run code and is not read: convert it, python -c "{command}"'
    return "; ".join([text, *(hints[name].format(folder=folder) for name in missing if name in hints)])


def _download(repository: str, revision: str | None, files: Sequence[str]) -> Path:
    instead = f"model.path=DIRECTORY with {', '.join(files)}"
    require_hub(f"{repository}, which is no directory here", instead=instead)
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(files)))
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        reason = str(error).splitlines()[0]
        raise UnavailableError(f"cannot fetch {repository} from the hub ({reason}); give {instead}") from error
