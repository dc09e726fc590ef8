"""What an image says about itself: where it comes from, and which bundle is inside, if one is."""

import subprocess
from datetime import UTC, datetime

from deploy.images.context import ROOT
from dragoman.bundle.manifest import Manifest

TITLES = {
    "bento": "Dragoman: a model served by BentoML",
    "torchserve": "Dragoman: a model served by TorchServe",
    "registry": "Dragoman: MLflow server and registry commands",
    "training": "Dragoman: training and search",
}


def labels(image: str, version: str, manifest: Manifest | None = None) -> dict[str, str]:
    """The OCI annotations, and ``dragoman.*`` for a bundle; what is not known has no label."""
    found = {
        "org.opencontainers.image.title": TITLES[image],
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": commit(),
        "org.opencontainers.image.created": datetime.now(UTC).isoformat(timespec="seconds"),
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    if manifest:
        found |= {
            "dragoman.bundle.store.name": manifest.name,
            "dragoman.bundle.store.task": manifest.task,
            "dragoman.bundle.store.version": manifest.version,
            "dragoman.bundle.store.digest": manifest.digest,
            "dragoman.mlflow.run_id": manifest.provenance.mlflow_run_id,
            "dragoman.training.commit": manifest.provenance.git_commit,
        }
    return {name: value for name, value in found.items() if value}


def commit() -> str | None:
    """The commit that is checked out, with ``-dirty`` when files differ from it; None outside of git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return finished.stdout.strip() if finished.returncode == 0 else None
