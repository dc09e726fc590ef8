"""The folder both server images are built from: the Bento, the ``.mar`` and its starter, and the pinned versions."""

import shutil
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy.conformance.servers import Packaged
from deploy.run.commands import ROOT, run_command
from deploy.torchserve.config import Archive
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, OutputError

# The starter of TorchServe; the handler and its core are in the .mar.
STARTER = (
    "deploy/__init__.py",
    "deploy/run/__init__.py",
    "deploy/run/server_process.py",
    "deploy/torchserve",
    "dragoman",
)
# The gRPC client's, which no server needs.
CLIENT_PACKAGES = ("grpcio", "grpcio-tools")


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """A laid-out folder, with the packaged bundle in a BentoML store of its own."""

    path: Path
    store: Path
    packaged: Packaged
    bundle: Path
    manifest: Manifest


def lay_out(model: str, out: Path) -> BuildContext:
    """Package a bundle, or the one that ``NAME@ALIAS`` names, and lay it out in ``out/NAME-VERSION``.

    Raises StepFailedError when it cannot be packaged (the reason is on standard error), ConfigError when it says no
    name, and OutputError when the folder cannot be written.
    """
    if not model.strip():
        raise ConfigError("no bundle to put into an image; give a bundle's path, or NAME@champion of the registry")
    # Absolute, because BentoML runs elsewhere, and not the user's store: building an image must not change which model
    # `bentoml serve` serves.
    store = (out / "store").resolve()
    try:
        store.mkdir(parents=True, exist_ok=True)
        command = ["-m", "model_registry", "package", model, "--out", str(out / "mar")]
        packaged = Packaged.from_output(run_command(*command, environment={"BENTOML_HOME": str(store)}).output)
        manifest = Archive.open(packaged.mar).manifest
        path, item = out / f"{manifest.name}-{manifest.version}", Path(manifest.name) / manifest.version
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(store / "bentos" / item, path / "bento")
        # A served Bento looks for its models there first.
        shutil.copytree(store / "models" / item, path / "bento" / "models" / item)
        (path / "mar").mkdir()
        shutil.copyfile(packaged.mar, path / "mar" / packaged.mar.name)
        for name in STARTER:
            source, target = ROOT / name, path / "starter" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        shutil.copyfile(ROOT / "constraints.txt", path / "constraints.txt")
        (path / "requirements-torchserve.txt").write_text("".join(torchserve_packages(packaged.mar)), encoding="utf-8")
    except OSError as error:
        place = error.filename or out
        raise OutputError(f"cannot write {place}: {error.strerror or error}; choose another --out") from error
    bundle = open_bundle(path / "bento" / "models" / item / "bundle")
    return BuildContext(path=path, store=store, packaged=packaged, bundle=bundle.path, manifest=bundle.manifest)


def torchserve_packages(mar: Path) -> list[str]:
    """Return the lines of a ``requirements.txt`` for TorchServe's image: an archive's own, and those of its server.

    The latter come from the extra of pyproject.toml.
    """
    with zipfile.ZipFile(mar) as archive:
        of_the_task = archive.read("requirements.txt").decode("utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_the_server = project["optional-dependencies"]["serve-torchserve"]
    wanted = [*of_the_task, *(package for package in of_the_server if package not in CLIENT_PACKAGES)]
    return [f"{package}\n" for package in wanted if not package.startswith("dragoman[")]
