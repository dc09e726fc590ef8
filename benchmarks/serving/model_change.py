"""What a change of the model costs a running Bento server: seconds until the new one answers, and memory.

    python -m benchmarks.serving.model_change --bundle A --other B

Two bundles of one model name take turns, as ``python -m model_registry follow`` would let them.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.serving.process_memory import peak_memory
from deploy.conformance.corpus import load_corpus
from deploy.conformance.servers import Packaged
from deploy.run.bento import BentoServer
from deploy.run.commands import run_command
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, UnavailableError, run_cli
from dragoman.live.pointer import FOLLOW_VARIABLE, Pointer
from dragoman.tasks.base import task_class

WITHIN_S = 60.0
# A batch or two, so that both have computed something before they are compared.
ITEMS = 32


def main() -> None:
    """Change the model to and fro, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.model_change", description=__doc__)
    parser.add_argument("--bundle", required=True, help="the model that is served first")
    parser.add_argument("--other", required=True, help="another one of the same name")
    parser.add_argument("--changes", type=int, default=6, help="how many (default: %(default)s)")
    arguments = parser.parse_args()
    bundles = [open_bundle(path) for path in (arguments.bundle, arguments.other)]
    if bundles[0].manifest.version == bundles[1].manifest.version:
        raise ConfigError(f"{arguments.bundle} and {arguments.other} are the same model; give two")
    # Standard output is for the figures.
    with tempfile.TemporaryDirectory(prefix="model-change-") as folder, contextlib.redirect_stdout(sys.stderr):
        figures = _measure(bundles, arguments.changes, Path(folder))
    print(json.dumps(figures))


def _measure(bundles: list[Bundle], changes: int, folder: Path) -> dict[str, object]:
    models = folder / "models"
    models.mkdir()
    _point_to(bundles[0], models)
    environment = {FOLLOW_VARIABLE: str(models), "BENTOML_HOME": str(folder / "bentoml")}
    packaged = run_command(
        "-m", "model_registry", "package", str(bundles[0].path), "--out", str(folder), environment=environment
    )
    with BentoServer(
        Packaged.from_output(packaged.output).bento, log=folder / "log", directory=folder, environment=environment
    ) as server:
        _seconds_until(bundles[0], server.url)
        peaks, seconds = [peak_memory(server.pid).largest_mb], []
        for change in range(1, changes + 1):
            bundle = bundles[change % 2]
            _point_to(bundle, models)
            seconds.append(round(_seconds_until(bundle, server.url), 2))
            peaks.append(peak_memory(server.pid).largest_mb)
    return {"seconds": seconds, "peak_mb_before_and_after_each": peaks}


def _point_to(bundle: Bundle, models: Path) -> None:
    name = f"{bundle.manifest.name}-{bundle.manifest.version}"
    if not (models / name).exists():
        (models / name).symlink_to(bundle.path.resolve())
    Pointer(
        reference=f"{bundle.manifest.name}@champion", bundle=name, digest=bundle.manifest.digest, checked_at=time.time()
    ).write(models)


def _seconds_until(bundle: Bundle, url: str) -> float:
    """How long it takes until a bundle answers."""
    task = task_class(bundle.manifest.task)
    address, body = f"{url}{task.route}", task.request_for(load_corpus(bundle.manifest.task).items(ITEMS))
    began = time.monotonic()
    while time.monotonic() < began + WITHIN_S:
        answer = httpx.post(address, json=body, timeout=WITHIN_S, trust_env=False).json()
        if answer["model"]["version"] == bundle.manifest.version:
            return time.monotonic() - began
    raise UnavailableError(f"{address} did not serve {bundle.path} within {WITHIN_S:g} seconds")


if __name__ == "__main__":
    run_cli(main)
