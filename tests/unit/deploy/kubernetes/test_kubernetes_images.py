"""That the Kubernetes manifests and the Dockerfiles speak of the same images."""

import re
import subprocess
import sys
from typing import Any

from deploy.torchserve.config import Ports
from tests.conftest import ROOT
from tests.kubernetes import SEARCH, TRAINING, of_kind, pods, render, servers


def test_images_are_ours_with_a_tag(applied: list[dict[str, Any]]) -> None:
    for each in pods(applied):
        for container in each.all_containers:
            assert re.fullmatch(r"dragoman-(bento|torchserve|registry|training):[\w.-]+", container["image"])


def test_ports_are_those_that_the_images_listen_on() -> None:
    # TorchServe's figures are not exposed: they are for an internal network alone.
    internal = {Ports().metrics}
    for server in ("bento", "torchserve"):
        dockerfile = (ROOT / "deploy" / f"{server}.Dockerfile").read_text(encoding="utf-8")
        exposed = {
            int(port) for line in re.findall(r"^EXPOSE (.+)$", dockerfile, re.MULTILINE) for port in line.split()
        }
        (container,) = (
            each for each in pods(render("overlays/cpu")) if each.labels["app.kubernetes.io/name"] == server
        )
        assert set(container.container_ports().values()) - internal == exposed
        assert "USER 10001:10001" in dockerfile


def test_probes_are_commands_that_there_are(overlay: list[dict[str, Any]]) -> None:
    for each in servers(overlay):
        for container in each.containers:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if command := container[probe].get("exec", {}).get("command"):
                    assert command[:2] == ["python", "-m"]
                    arguments = [sys.executable, *command[1:], "--help"]
                    assert subprocess.run(arguments, cwd=ROOT, capture_output=True).returncode == 0


def test_a_run_lies_in_the_volume() -> None:
    for name in (TRAINING, SEARCH):
        (job,) = of_kind(render(name), "Job")
        dockerfile = (ROOT / "deploy" / "training.Dockerfile").read_text(encoding="utf-8")
        working_directories = re.findall(r"^WORKDIR (\S+)$", dockerfile, re.MULTILINE)
        for container in pods([job])[0].all_containers:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts["runs"] == f"{working_directories[-1]}/runs"
