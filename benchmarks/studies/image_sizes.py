"""How large a plain image of the same model gets: ``bentoml containerize`` of a Hugging Face service, with buildah.

    python -m benchmarks.studies.image_sizes --bundle B

What ``make smoke-images`` builds is measured there; this is what a user gets without it, built the same way.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import httpx

from deploy.images.base import ensure_base
from deploy.images.builds import build_standard
from deploy.images.container import Container
from deploy.images.engine import ContainerEngine
from deploy.run.server_process import LOOPBACK, free_port
from dragoman.bundle.store import open_bundle
from dragoman.errors import run_cli

SERVICE = Path(__file__).parents[1] / "translation" / "peers" / "plain_huggingface.py"
PACKAGES = ("transformers", "sentencepiece")
NAME = "plain-huggingface"
READY_WITHIN_S = 120.0


def main() -> None:
    """Build, start and measure the image, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.image_sizes", description=__doc__)
    parser.add_argument("--bundle", required=True, help="whose weights it serves")
    parser.add_argument(
        "--torch", default=version("torch"), help="its version; PyPI's brings CUDA (default: %(default)s)"
    )
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    packages = {"torch": arguments.torch, **{name: version(name) for name in PACKAGES}}
    # Standard output is for the figures.
    with tempfile.TemporaryDirectory(prefix="image-sizes-") as folder, contextlib.redirect_stdout(sys.stderr):
        engine = ContainerEngine.find(to_run=True)
        ensure_base(engine)
        store, log = Path(folder, "store"), Path(folder, "log")
        _build_bento(bundle.path, packages, Path(folder, "project"), store)
        tag = f"{NAME}:{bundle.manifest.version}"
        built = build_standard(engine, f"{NAME}:latest", store, tag, log)
        seconds = _seconds_to_the_first_translation(engine, tag, Path(folder, "container.log"))
    figures = {"bytes": built.bytes, "above_base": built.above_base, "seconds_to_ready": round(seconds, 2)}
    print(json.dumps({"image": tag, "packages": packages, **figures}))


def _build_bento(bundle: Path, packages: Mapping[str, str], project: Path, store: Path) -> None:
    project.mkdir()
    store.mkdir()
    shutil.copyfile(SERVICE, project / "service.py")
    shutil.copytree(bundle / "model", project / "model")
    bentofile = {
        "service": "service:Translation",
        "name": NAME,
        "include": ["service.py", "model/**"],
        # Locking would write this machine's package index into the Bento.
        "python": {"packages": [f"{name}=={number}" for name, number in packages.items()], "lock_packages": False},
    }
    # JSON is YAML.
    (project / "bentofile.yaml").write_text(json.dumps(bentofile), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "bentoml", "build"],
        cwd=project,
        env={**os.environ, "BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "true"},
        stdout=sys.stderr,
        check=True,
    )


def _seconds_to_the_first_translation(engine: ContainerEngine, tag: str, log: Path) -> float:
    port = free_port()
    # On this machine's loopback interface alone, and as fast as one request at a time gets it.
    environment = {"BENTOML_HOST": LOOPBACK, "BENTOML_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    url = f"http://{LOOPBACK}:{port}/translate"

    def translates() -> bool:
        try:
            return client.post(url, json={"text": "Where is the station?"}).is_success
        except httpx.TransportError:
            return False

    with httpx.Client(timeout=60, trust_env=False) as client:
        started = time.monotonic()
        with Container(engine, tag, log=log, read_only=False, environment=environment) as container:
            container.wait_until(translates, within_s=READY_WITHIN_S)
            return time.monotonic() - started


if __name__ == "__main__":
    run_cli(main)
