"""Packaging for TorchServe: a ``.mar`` with a bundle, the handler and the core, which needs nothing else of ours.

torch-model-archiver makes the archive's content and its manifest. It stamps the time and clears a shared temporary
directory, so it runs in a private one, and the content is zipped again here: the same bundle gives the same bytes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dragoman.bundle.store import Bundle
from dragoman.errors import ConfigError, OutputError
from model_registry.packaging.mar_config import load_model_config
from model_registry.packaging.requirements import REQUIREMENTS, task_requirements
from model_registry.packaging.verified_copy import bundle_files, copy_file

ROOT = Path(__file__).resolve().parents[2]
HANDLER = ROOT / "handlers" / "seq2seq_handler.py"
MODEL_CONFIG = ROOT / "handlers" / "model-config.yaml"
MANIFEST = "MAR-INF/MANIFEST.json"
# Where the handler finds its bundle.
BUNDLE = "bundle"
# The first moment a zip file can tell, in its own form and in the manifest's.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
CREATED_ON = "01/01/1980 00:00:00"
# A plain file that everyone may read, as zip files write it down.
FILE_MODE = 0o100644 << 16
MADE_ON_UNIX = 3


def build_mar(bundle: Bundle, out_dir: Path) -> Path:
    """Write ``<name>-<version>.mar`` into a directory, whole or not at all, and return its path.

    Raises ConfigError when handlers/model-config.yaml is wrong and OutputError when the archive cannot be made.
    """
    load_model_config(MODEL_CONFIG)
    manifest = bundle.manifest
    archive = Path(out_dir) / f"{manifest.name}-{manifest.version}.mar"
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        # Beside the archive, so that the finished file only has to be renamed.
        with tempfile.TemporaryDirectory(prefix=f".{archive.name}.", dir=archive.parent) as folder:
            work = Path(folder)
            _zip(_archived(bundle, work), bundle, work / archive.name)
            (work / archive.name).replace(archive)
    except OSError as error:
        raise OutputError(f"cannot write {archive}: {error.strerror or error}; choose a writable place") from error
    return archive


def _archived(bundle: Bundle, work: Path) -> Path:
    """Let torch-model-archiver make the content of the archive, as a directory.

    The bundle is left out: the archiver copies what it is given, and weights are large.
    """
    for name in ("stage", "tmp", "export"):
        (work / name).mkdir()
    # The core stands beside the handler.
    shutil.copytree(ROOT / "dragoman", work / "stage" / "dragoman", ignore=shutil.ignore_patterns("__pycache__"))
    name = bundle.manifest.name
    command = [sys.executable, "-m", "model_archiver.model_packaging", "--model-name", name]
    command += ["--version", bundle.manifest.version, "--handler", str(HANDLER), "--config-file", str(MODEL_CONFIG)]
    # TorchServe installs them where it is told to (install_py_dep_per_model); our container image is built with them.
    (work / REQUIREMENTS).write_text(task_requirements(bundle.manifest.task), encoding="utf-8")
    command += ["--requirements-file", REQUIREMENTS]
    # Relative, because the archiver splits the extra files at commas.
    command += ["--extra-files", "stage", "--export-path", "export", "--archive-format", "no-archive"]
    environment = {**os.environ, "TMPDIR": str(work / "tmp")}
    completed = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if completed.returncode:
        reason = (completed.stderr.strip().splitlines() or ["no reason given"])[-1]
        if "No module named" in reason:
            raise ConfigError(f"torch-model-archiver is not installed ({reason}); pip install 'dragoman[registry]'")
        raise OutputError(f"torch-model-archiver failed: {reason}")
    return work / "export" / name


def _zip(content: Path, bundle: Bundle, destination: Path) -> None:
    """Zip the content and the bundle, whose files are verified as they are read."""
    inside = {f"{BUNDLE}/{name}": name for name in bundle_files(bundle)}
    names = [file.relative_to(content).as_posix() for file in content.rglob("*") if file.is_file()]
    # Stored, not deflated: weights hardly shrink, TorchServe starts sooner, and deflate differs between zlib versions.
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted([*names, *inside]):
            entry = zipfile.ZipInfo(name, date_time=ZIP_TIME)
            entry.external_attr, entry.create_system = FILE_MODE, MADE_ON_UNIX
            if name in inside:
                entry.file_size = (bundle.path / inside[name]).stat().st_size
                with archive.open(entry, "w") as target:
                    copy_file(bundle, inside[name], target)
                continue
            data = (content / name).read_bytes()
            if name == MANIFEST:
                timeless = {**json.loads(data), "createdOn": CREATED_ON}
                data = (json.dumps(timeless, indent=2, sort_keys=True) + "\n").encode()
            archive.writestr(entry, data)
    with destination.open("rb+") as file:
        os.fsync(file.fileno())
