"""The whole stack on one machine: what of it is open, and that Docker Compose takes the file."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_registry import command_line
from tests.conftest import ROOT

COMPOSE = ROOT / "deploy" / "compose.yaml"
FILES = COMPOSE.parent / "compose"
REQUESTED = {"train", "tune", "registry"}
JOBS = {"bucket", *REQUESTED}
EDGES = {"bento", "torchserve", "mlflow", "grafana", "optuna-dashboard"}
# Their images bring health checks, or what shows their health is the alert on their silence.
CHECKED_ELSEWHERE = {"bento", "torchserve", "follower"}
MUST_BE_SET = {"DRAGOMAN_TAG", "DRAGOMAN_MODEL"}


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose``, which needs no engine to read a file."""
    if not shutil.which("docker"):
        pytest.skip("the docker client is not installed")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker client has no plugin compose (Debian 13: docker-compose)")
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    command = ["docker", "compose", "--file", str(COMPOSE), "--env-file", os.devnull, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**inherited, **environment}, check=False)


def test_docker_compose_accepts_the_file():
    profiles = [word for name in sorted(REQUESTED) for word in ("--profile", name)]
    done = compose(*profiles, "config", "--format", "json", DRAGOMAN_TAG="1.0", DRAGOMAN_MODEL="m@champion")
    assert (done.returncode, done.stderr) == (0, "")
    resolved = json.loads(done.stdout)
    assert set(resolved["services"]) == set(services())
    published = [port for service in resolved["services"].values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    numbers = [port["published"] for port in published]
    assert sorted(numbers) == ["3000", "3001", "5000", "7070", "8080", "8081"]


def test_the_example_of_the_environment_sets_every_variable_to_its_default(tmp_path: Path):
    lines = (FILES / "example.env").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    used = dict(re.findall(r"\$\{([A-Z_]+)(?::-([^}]*))?", COMPOSE.read_text(encoding="utf-8").replace(":?", ":-")))
    assert set(example) == set(used) - {"SECRETS"}
    assert all(value == used[name] for name, value in example.items() if name not in MUST_BE_SET)


def test_without_the_images_tag_it_says_what_to_set():
    done = compose("config", "--quiet", DRAGOMAN_MODEL="m@champion")
    assert done.returncode != 0
    assert "set DRAGOMAN_TAG to the tag of the dragoman images, in deploy/.env" in done.stderr


def test_without_a_model_to_follow_it_says_what_to_set():
    done = compose("config", "--quiet", DRAGOMAN_TAG="1.0")
    assert done.returncode != 0
    assert "set DRAGOMAN_MODEL to NAME@champion, in deploy/.env" in done.stderr


def test_both_servers_take_the_engine_that_is_named():
    for name in ("bento", "torchserve"):
        assert services()[name]["environment"]["DRAGOMAN_ENGINE"] == "${DRAGOMAN_ENGINE:-auto}"


@pytest.mark.parametrize("name", sorted(services()))
def test_a_container_can_do_no_more_than_it_must(name: str):
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    user = str(service["user"]).partition(":")[0]
    assert user.isdigit()
    assert user != "0"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    limits = service["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= set(limits)
    assert "cpus" in limits or name in REQUESTED
    assert "privileged" not in service
    # Without exec a tmpfs holds nothing that can be run.
    assert not any("exec" in tmpfs.partition(":")[2].split(",") for tmpfs in service["tmpfs"])
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))
    if name not in JOBS:
        assert "healthcheck" in service or name in CHECKED_ELSEWHERE


@pytest.mark.parametrize("name", sorted(services()))
def test_an_image_is_one_version_and_never_the_newest(name: str):
    image, _, tag = services()[name]["image"].partition(":")
    if image.startswith("dragoman-"):
        assert tag.startswith("${DRAGOMAN_TAG")
    else:
        assert re.search(r"\d+\.\d+", tag), image


def test_only_the_edges_are_published_and_the_rest_has_no_way_out():
    found = services()
    assert {name for name, service in found.items() if "ports" in service} == EDGES
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for name in EDGES for port in found[name]["ports"])
    networks = document()["networks"]
    internal = {name for name, network in networks.items() if network.get("internal")}
    assert set(networks) - internal == {"edge", "downloads"}
    for name, service in found.items():
        open_networks = set(service["networks"]) - internal
        expected = {"edge"} if name in EDGES else {"downloads"} if name in ("train", "tune") else set()
        assert open_networks == expected, name


def test_what_is_trained_inside_is_registered_and_promoted_inside_by_the_commands_of_the_documentation():
    text = (ROOT / "docs" / "how-to" / "compose.md").read_text(encoding="utf-8")
    commands = re.findall(r"^docker compose -f deploy/compose.yaml run --rm (\S+) (.*)$", text, re.MULTILINE)
    assert [name for name, _ in commands] == ["train", "registry", "registry", "tune"]
    asked = [
        command_line.parser().parse_args(shlex.split(words, comments=True))
        for name, words in commands
        if name == "registry"
    ]
    assert [options.command for options in asked] == ["register", "promote"]

    found = services()
    assert found["registry"]["entrypoint"] == ["python", "-m", "model_registry"]
    # The image, the runs, MLflow's address: all as where the training ran.
    for key in ("image", "volumes", "environment", "depends_on", "user"):
        assert found["registry"][key] == found["train"][key], key
    assert "ports" not in found["registry"]


def test_the_database_and_the_artifacts_are_reached_by_those_that_need_them():
    def on(network: str) -> set[str]:
        return {name for name, service in services().items() if network in service["networks"]}

    assert on("storage") == {"postgres", "mlflow", "optuna-dashboard", "tune"}
    assert on("artifacts") == {"artifacts", "bucket", "mlflow"}
    assert on("serving") == {"bento", "torchserve", "prometheus"}
    assert on("monitoring") == {"prometheus", "grafana"}
    assert on("tracking") == {"mlflow", "follower", *REQUESTED}


def test_the_servers_can_read_the_models_and_not_write_them():
    found = services()
    assert found["follower"]["volumes"] == ["models:/models"]
    assert [found[name]["volumes"] for name in ("bento", "torchserve")] == [["models:/models:ro"]] * 2
    assert [found[name]["environment"]["DRAGOMAN_FOLLOW"] for name in ("bento", "torchserve")] == ["/models"] * 2
    assert found["follower"]["command"][2:4] == ["--into", "/models"]


def test_a_server_does_not_wait_for_mlflow():
    for name in ("bento", "torchserve", "follower"):
        waits_for = {other: how["condition"] for other, how in services()[name].get("depends_on", {}).items()}
        assert set(waits_for.items()) <= {("follower", "service_started")}, name


def test_no_secret_is_in_an_environment_or_on_a_command_line():
    secrets = document()["secrets"]
    assert all(secret["file"].startswith("${SECRETS:-./compose/secrets}/") for secret in secrets.values())
    for name, service in services().items():
        assert set(service.get("secrets", [])) <= set(secrets), name
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|CREDENTIALS|PGSERVICE", variable):
                assert str(value).startswith("/run/secrets/"), variable
                assert Path(value).name in service["secrets"], variable
        assert not re.search(r"://[^/ ]*:[^/ ]*@", " ".join(map(str, service.get("command", [])))), name


def test_the_secrets_are_made_once_each_its_own_and_for_nobody_else(tmp_path: Path):
    folder = tmp_path / "secrets"
    command = [str(FILES / "make_secrets.sh"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"6 secrets are in {folder}" in done.stdout
    assert {path.name for path in folder.iterdir()} == set(document()["secrets"])
    assert folder.stat().st_mode & 0o777 == 0o700
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert not any(len(secret) < 48 or secret in done.stdout for secret in written.values())
    (identity,) = json.loads(written["artifact_server"])["identities"]
    assert identity["credentials"][0]["secretKey"] in written["artifact_client"]

    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{folder} is there already and stays" in again.stderr
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == written
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]
