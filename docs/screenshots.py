"""The screenshots: ``make screenshots`` trains and searches a little, starts the real servers, and looks at them."""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from deploy.run.bento import BentoServer
from deploy.run.commands import run_command
from deploy.run.server_process import LOOPBACK, ServerProcess, answers_ok, free_port
from dragoman.errors import OutputError, UnavailableError, run_cli

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
NAME = "translation-en-de"
# By steps, so that a busy machine makes the same model, only later.
TRAINING = ("train.max_steps=1200",)
SEARCH = ("search=phrasebook", "trials=4", "trial=[train.max_units=60000]", "report_every_units=20000")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Seconds on a machine that does much else; MLflow imports a lot.
START_WITHIN_S = 300.0
# Of the browser's own clock, which runs ahead while nothing happens: these pages build themselves from many answers.
PATIENCE_MS = 20_000
# So that the repository stays small.
LARGEST_BYTES = 200_000
COLOURS = 128


def main() -> None:
    """Make the content, and take every picture; raises UnavailableError where there is no browser."""
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description="Take the pages' screenshots anew.")
    parser.add_argument("--folder", type=Path, help="make the content here, or take what an earlier call has made here")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise UnavailableError(f"a browser is needed: one of {', '.join(BROWSERS)}; apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="screenshots-") as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        # The commands run in the folder, so that nothing that they write is anywhere else.
        with contextlib.chdir(folder):
            os.environ |= {"BENTOML_HOME": str(folder / "bentoml"), "PYTHONPATH": str(ROOT)}
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
            if not Path("optuna.db").exists():
                _make_content()
            _take_pictures(browser)


def _make_content() -> None:
    run_command("-m", "train", "data=phrasebook", "model=t5_tiny", "run_dir=runs/first", *TRAINING)
    run_command("-m", "model_registry", "register", "runs/first")
    run_command("-m", "model_registry", "promote", NAME, "candidate")
    run_command("-m", "model_registry", "package", f"{NAME}@champion", "--out", "dist")
    run_command("-m", "tune", *SEARCH)


def _take_pictures(browser: str) -> None:
    port = free_port()
    mlflow = ("-m", "mlflow", "ui", "--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"], "--port", str(port))
    with _server("mlflow ui", mlflow, port):
        _picture(
            browser,
            f"http://{LOOPBACK}:{port}/#/models/{NAME}/versions/1",
            "version.png",
            window=(1640, 1100),
            shown=1217,
        )
    port = free_port()
    dashboard = ("-c", "from optuna_dashboard._cli import main; main()", "sqlite:///optuna.db", "--port", str(port))
    with _server("optuna-dashboard", dashboard, port):
        _picture(browser, f"http://{LOOPBACK}:{port}/dashboard/studies/1", "search.png", window=(1280, 1000))
    with BentoServer(log=Path("bentoml.log")) as server:
        _picture(browser, server.url, "server.png", window=(1280, 900))


@contextlib.contextmanager
def _server(name: str, arguments: Sequence[str], port: int) -> Iterator[None]:
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, *arguments, "--host", LOOPBACK]
    log = Path(f"{port}.log")
    with ServerProcess(command, name=name, directory=Path.cwd(), environment=environment, log=log) as server:
        server.wait_until(lambda: answers_ok(f"http://{LOOPBACK}:{port}/"), within_s=START_WITHIN_S)
        yield


def _picture(browser: str, url: str, name: str, *, window: tuple[int, int], shown: int | None = None) -> None:
    """Let a browser without a window draw a page; ``shown`` cuts off what is right of it, as MLflow's assistant.

    Raises OutputError when the picture is missing or too large.
    """
    taken, picture = Path(name).absolute(), PICTURES / name
    options = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={Path.cwd()}/profile"]
    if os.geteuid() == 0:
        # Chromium has no sandbox for root.
        options.append("--no-sandbox")
    width, height = window
    options += [f"--window-size={width},{height}", f"--virtual-time-budget={PATIENCE_MS}", f"--screenshot={taken}"]
    subprocess.run([browser, *options, url], check=True, capture_output=True, timeout=START_WITHIN_S)
    if not taken.exists():
        raise OutputError(f"{browser} took no picture of {url}")
    with Image.open(taken) as image:
        # A palette takes a third of the bytes, and a page has few colours.
        image.convert("RGB").crop((0, 0, shown or width, height)).quantize(COLOURS).save(picture, optimize=True)
    size = picture.stat().st_size
    if size > LARGEST_BYTES:
        raise OutputError(f"{picture} has {size:,} bytes, {LARGEST_BYTES:,} are allowed; take a smaller window")
    print(f"picture: {picture.relative_to(ROOT)}", flush=True)


if __name__ == "__main__":
    run_cli(main)
