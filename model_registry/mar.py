"""Packaging for TorchServe: a bundle, the handler and the core in one ``.mar`` that needs nothing else of ours.

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

from dragoman.bundle import Bundle, open_bundle
from dragoman.errors import ConfigError, OutputError
from model_registry.mar_config import load_model_config

ROOT = Path(__file__).resolve().parent.parent
HANDLER = ROOT / "handlers" / "seq2seq_handler.py"
MODEL_CONFIG = ROOT / "handlers" / "model-config.yaml"
MANIFEST = "MAR-INF/MANIFEST.json"
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
            _stage(bundle, work / "stage")
            content = _archived(bundle, work)
            # What goes out is what was verified: the copy's digests are checked, not the original's.
            open_bundle(content / "bundle")
            _zip(content, work / archive.name)
            (work / archive.name).replace(archive)
    except OSError as error:
        raise OutputError(f"cannot write {archive}: {error.strerror or error}; choose a writable place") from error
    return archive


def _stage(bundle: Bundle, stage: Path) -> None:
    """Lay out what stands beside the handler: the core and the bundle."""
    stage.mkdir()
    shutil.copytree(ROOT / "dragoman", stage / "dragoman", ignore=shutil.ignore_patterns("__pycache__"))
    # The archiver copies what it is given, and weights are large: one copy is enough.
    (stage / "bundle").symlink_to(bundle.path.resolve())


def _archived(bundle: Bundle, work: Path) -> Path:
    """The content of the archive as a directory, made by torch-model-archiver."""
    temporary, export = work / "tmp", work / "export"
    temporary.mkdir()
    export.mkdir()
    name = bundle.manifest.name
    arguments = {
        "--model-name": name,
        "--version": bundle.manifest.version,
        "--handler": str(HANDLER),
        "--config-file": str(MODEL_CONFIG),
        # Relative, because the archiver splits this at commas.
        "--extra-files": "stage",
        "--export-path": "export",
        "--archive-format": "no-archive",
    }
    completed = subprocess.run(
        [
            sys.executable,
            "-m",
            "model_archiver.model_packaging",
            *(word for pair in arguments.items() for word in pair),
        ],
        cwd=work,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        reason = (completed.stderr.strip().splitlines() or ["no reason given"])[-1]
        if "No module named" in reason:
            raise ConfigError(f"torch-model-archiver is not installed ({reason}); pip install 'dragoman[registry]'")
        raise OutputError(f"torch-model-archiver failed: {reason}")
    return export / name


def _zip(content: Path, destination: Path) -> None:
    names = sorted(file.relative_to(content).as_posix() for file in content.rglob("*") if file.is_file())
    # Stored, not deflated: weights hardly shrink, TorchServe starts sooner, and deflate differs between zlib versions.
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, date_time=ZIP_TIME)
            entry.external_attr, entry.create_system = FILE_MODE, MADE_ON_UNIX
            if name == MANIFEST:
                archive.writestr(entry, _timeless(content / name))
                continue
            entry.file_size = (content / name).stat().st_size
            with (content / name).open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, length=1 << 20)
    with destination.open("rb+") as file:
        os.fsync(file.fileno())


def _timeless(manifest: Path) -> str:
    content = json.loads(manifest.read_text(encoding="utf-8"))
    return json.dumps({**content, "createdOn": CREATED_ON}, indent=2, sort_keys=True) + "\n"
