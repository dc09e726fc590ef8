"""Weights that exist already: a directory, or a repository of the Hugging Face hub at one revision."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.manifest import BaseModel
from dragoman.errors import DataError, UnavailableError
from train.data.hub import require_hub


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A directory with the files of a model, and its name in manifests."""

    folder: Path
    base_model: BaseModel


def find_pretrained(path: str, revision: str | None, files: Sequence[str]) -> Pretrained:
    """Find a model with these files; raises DataError for a wrong path, UnavailableError where the hub is needed."""
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
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise DataError(f"{folder} lacks {', '.join(missing)}; a model to start from has {', '.join(files)}")
    base = BaseModel(name=name, revision=commit, digest=files_digest(folder, files))
    return Pretrained(folder=folder, base_model=base)


def files_digest(folder: Path, files: Sequence[str]) -> str:
    """Compute ``sha256:…`` over the names and contents of files."""
    digest = hashlib.sha256()
    for name in sorted(files):
        with (folder / name).open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return f"sha256:{digest.hexdigest()}"


def _download(repository: str, revision: str | None, files: Sequence[str]) -> Path:
    instead = f"model.path=DIRECTORY with {', '.join(files)}"
    require_hub(repository, instead=instead)
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(files)))
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        reason = str(error).splitlines()[0]
        raise UnavailableError(f"cannot fetch {repository} from the hub ({reason}); give {instead}") from error
