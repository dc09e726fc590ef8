"""onnxruntime as the engine of images loads it: its builds send usage data to Microsoft unless they are told not to."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

ANSWERING = """
import sys, dragoman
predictor = dragoman.load(sys.argv[1])
(outcome,) = predictor([predictor.task.example_item])
assert type(outcome).__name__ == "Result", outcome
"""
# It sends nothing from machines that build and test software, which these variables tell.
OF_BUILDS = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")


def test_no_id_of_the_machine_and_no_events_are_kept_for_sending(tiny_images: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OF_BUILDS}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", ANSWERING, str(tiny_images)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == []
