"""The image that ``bentoml containerize`` makes of a Bento by itself, built with buildah."""

import json
import os
import sys
import tempfile
from pathlib import Path

from deploy.images.__main__ import Built, measured
from deploy.images.base import BASE
from deploy.images.engine import Engine, run_logged
from deploy.images.machine_settings import mounts, pip_settings


def build_standard(engine: Engine, bento: str, store: Path, tag: str, log: Path) -> Built:
    """Containerize a Bento of a store; raises StepFailedError with the end of the log."""
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        settings = Path(folder, "containers.conf")
        # Not by options of BentoML's, which runs several volumes together into one.
        # A JSON list is one of TOML's too.
        settings.write_text(f"[containers]\nvolumes = {json.dumps(mounts(pip_settings(), Path(folder)))}\n", "utf-8")
        environment = {
            "BENTOML_HOME": str(store),
            "BENTOML_DO_NOT_TRACK": "true",
            # Docker's format, since the other one drops what it does not know.
            "BUILDAH_FORMAT": "docker",
            "CONTAINERS_CONF": str(settings),
            "BUILDAH_ISOLATION": os.environ.get("BUILDAH_ISOLATION", "chroot"),
        }
        options = ["--opt", "pull-never", "--opt", "network=host"]
        command = [sys.executable, "-m", "bentoml", "containerize", bento, "-t", tag, "--backend", "buildah", *options]
        run_logged(command, log, environment)
    return measured(engine, tag, BASE)
