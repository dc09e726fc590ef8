"""Packaging for BentoML: a bundle goes unchanged into BentoML's model store, and a Bento is built round it.

Both get the tag ``<name>:<version>``, which is derived from the bundle's content, so packaging twice makes one Bento.
"""

import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.signature import SIGNATURE
from dragoman.bundle.store import BUNDLE_LABEL, MANIFEST, Bundle, open_bundle
from dragoman.errors import BundleError, OutputError, run_cli
from model_registry.packaging.requirements import REQUIREMENTS, task_requirements
from model_registry.packaging.verified_copy import copy_bundle

ROOT = Path(__file__).resolve().parents[2]
SERVICE_FILES = ("service.py", "bentofile.yaml")
SOURCES_LABEL = "dragoman-sources"


def build_bento(bundle: Bundle) -> str:
    """Store a bundle in BentoML's model store, build its Bento, and return the tag of both.

    Builds nothing when both are there with the same content. Raises OutputError with the reason when it fails.
    """
    # In a process of its own, because BentoML changes the working directory, the import path and the logging of the
    # process that builds, and holds on to the first BENTOML_HOME it sees.
    arguments = [str(bundle.path.resolve()), bundle.manifest.digest]
    command = [sys.executable, "-m", "model_registry.packaging.bento", *arguments]
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "true"}
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if completed.returncode:
        reason = (completed.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("error: ")
        raise OutputError(f"the Bento {_tag(bundle)} could not be built: {reason}")
    return _tag(bundle)


def _tag(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}:{bundle.manifest.version}"


def _main() -> None:
    path, digest = Path(sys.argv[1]), sys.argv[2]
    manifest = Manifest.from_json((path / MANIFEST).read_text(encoding="utf-8"), origin=str(path / MANIFEST))
    # The bundle was verified a moment ago, and its files are verified again as they are copied.
    if manifest.sealed().digest != digest or manifest.digest != digest:
        raise BundleError(f"{path / MANIFEST} has changed since it was verified; package it again")
    bundle = Bundle(path, manifest)
    _store_bundle(bundle)
    with tempfile.TemporaryDirectory(prefix="dragoman-bento-") as folder:
        _build(Path(folder), bundle)
    print(_tag(bundle))


def _store_bundle(bundle: Bundle) -> None:
    import bentoml

    tag = _tag(bundle)
    model = _find(bentoml.models, tag)
    if model is not None and not _holds(model, bundle):
        bentoml.models.delete(tag)
        model = None
    if model is None:
        labels = {BUNDLE_LABEL: bundle.manifest.digest, "task": bundle.manifest.task}
        with bentoml.models.create(tag, labels=labels) as created:
            copy_bundle(bundle, Path(created.path_of("bundle")))
            # Read by the service when a Bento is built of it.
            requirements = task_requirements(bundle.manifest.task)
            Path(created.path_of(REQUIREMENTS)).write_text(requirements, encoding="utf-8")
        model = bentoml.models.get(tag)
    # `bentoml serve` from the root serves the model packaged last, which may be one stored long ago.
    os.utime(model.path)


def _holds(model: Any, bundle: Bundle) -> bool:
    """Tell whether a stored model is whole and has the bundle's signature and requirements, which may be newer."""
    try:
        stored = open_bundle(model.path_of("bundle"))
        requirements = Path(model.path_of(REQUIREMENTS)).read_text(encoding="utf-8")
    except (BundleError, OSError):
        return False
    if requirements != task_requirements(bundle.manifest.task):
        return False
    theirs, ours = (one.path / SIGNATURE for one in (stored, bundle))
    if theirs.exists() != ours.exists() or (ours.exists() and theirs.read_bytes() != ours.read_bytes()):
        return False
    return stored.manifest.digest == bundle.manifest.digest


def _build(folder: Path, bundle: Bundle) -> None:
    """Build the Bento from the service, the core, and the model card as its description, unless it is there."""
    import bentoml

    for source in [ROOT / name for name in SERVICE_FILES] + sorted((ROOT / "dragoman").rglob("*.py")):
        staged = folder / source.relative_to(ROOT)
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, staged)
    shutil.copyfile(bundle.path / "MODEL_CARD.md", folder / "README.md")
    # Not copied to the Bento's sources: the service reads them in the stored model.
    (folder / REQUIREMENTS).write_text(task_requirements(bundle.manifest.task), encoding="utf-8")
    files = [f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}" for name in _files(folder, "*")]
    tag, digest = _tag(bundle), hashlib.sha256("\n".join(files).encode()).hexdigest()
    bento = _find(bentoml.bentos, tag)
    if bento is not None:
        if bento.info.labels.get(SOURCES_LABEL) == digest and _same_code(folder, Path(bento.path_of("src"))):
            return
        # The tag names the bundle; the code round it has changed since, or the Bento was altered.
        bentoml.bentos.delete(tag)
    bentoml.bentos.build_bentofile(
        str(folder / "bentofile.yaml"),
        build_ctx=str(folder),
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        labels={SOURCES_LABEL: digest, BUNDLE_LABEL: bundle.manifest.digest},
        args={"bundle": tag},
    )


def _find(store: Any, tag: str) -> Any:
    """Return the item with exactly this tag, or None."""
    from bentoml.exceptions import NotFound

    try:
        return store.get(tag)
    except NotFound:
        return None


def _files(folder: Path, pattern: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file())


def _same_code(folder: Path, source: Path) -> bool:
    names = _files(folder, "*.py")
    return names == _files(source, "*.py") and not any(filecmp.cmpfiles(folder, source, names, shallow=False)[1:])


if __name__ == "__main__":
    run_cli(_main)
