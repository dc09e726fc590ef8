"""The ingredients and builds of images; `make smoke-images` runs them."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.conformance.servers import Packaged
from deploy.images import base, engine, machine_settings
from deploy.images.__main__ import main
from deploy.images.builds import Built, build_image, image_build, labels
from deploy.images.container import Container, running
from deploy.images.context import BuildContext, lay_out
from deploy.images.drain import Drained
from deploy.images.engine import PODMAN_SETTINGS, Build, ContainerEngine
from deploy.images.smoke import ITEMS, STANDARD, Checked, held_out_items, leftovers
from deploy.run.commands import StepFailedError
from dragoman.bundle.store import open_bundle
from dragoman.checkout import git_commit
from dragoman.errors import ConfigError, UnavailableError
from dragoman.task_table import TASKS
from model_registry.packaging.requirements import task_requirements
from scoring.held_out import HeldOutItem, write_held_out
from tests.conftest import BUNDLES, ROOT


@pytest.mark.parametrize("task", TASKS)
def test_both_server_images_are_laid_out_from_one_bundle(
    task: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bundle: Path = request.getfixturevalue(BUNDLES[task])
    context = lay_out(str(bundle), tmp_path)
    manifest = open_bundle(bundle).manifest

    assert open_bundle(context.bundle).manifest == manifest
    of_the_bento = (context.path / "bento" / "env" / "python" / "requirements.txt").read_text()
    assert of_the_bento.count("bentoml==") == 1
    of_torchserve = (context.path / "requirements-torchserve.txt").read_text()
    needed = task_requirements(manifest.task)
    assert of_the_bento.startswith(needed)
    assert of_torchserve.startswith(needed)
    foreign = {line for other in TASKS for line in task_requirements(other).splitlines()} - set(needed.splitlines())
    assert not foreign & {*of_the_bento.splitlines(), *of_torchserve.splitlines()}
    assert [mar.name for mar in (context.path / "mar").iterdir()] == [f"{manifest.name}-{manifest.version}.mar"]
    started = subprocess.run(
        [sys.executable, "-m", "deploy.torchserve", "--help"],
        cwd=context.path / "starter",
        env={"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--drain-within" in started.stdout


def test_a_model_that_is_not_there_ends_the_build_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(StepFailedError, match="its message is above"):
        lay_out("none", tmp_path / "out")
    assert "error: " in capfd.readouterr().err
    with pytest.raises(ConfigError, match="no bundle to put into an image; give a bundle's path, or NAME@champion"):
        lay_out("", tmp_path / "out")


def test_labels_say_where_an_image_comes_from_and_leave_out_what_is_not_known(tiny_bundle: Path) -> None:
    manifest = open_bundle(tiny_bundle).manifest
    found = labels("bento", "1", manifest)
    assert found["dragoman.bundle.digest"] == manifest.digest
    assert found["dragoman.bundle.version"] == manifest.version
    assert found["org.opencontainers.image.version"] == "1"
    assert found["org.opencontainers.image.revision"] == git_commit(ROOT)
    assert "dragoman.mlflow.run_id" not in found

    tracked = dataclasses.replace(manifest.provenance, mlflow_run_id="0123")
    assert labels("bento", "1", dataclasses.replace(manifest, provenance=tracked))["dragoman.mlflow.run_id"] == "0123"


BUILD = Build(
    dockerfile=Path("a.Dockerfile"), context=Path("folder"), tag="a:1", labels={"x": "1"}, arguments={"BASE": "b"}
)


def test_docker_and_buildah_get_the_same_build() -> None:
    ours = ["--label", "x=1", "--build-arg", "BASE=b", "folder"]
    assert ContainerEngine("docker")._build_words(BUILD, ["/a:/b:ro"]) == [
        "build",
        "-f",
        "a.Dockerfile",
        "-t",
        "a:1",
        *ours,
    ]
    words = ContainerEngine("buildah")._build_words(BUILD, ["/a:/b:ro"])
    assert words[:5] == ["bud", "-f", "a.Dockerfile", "-t", "a:1"]
    assert words[-len(ours) :] == ours
    # HEALTHCHECK is lost in the other format, and docker build has no option for what is lent by a mount.
    assert words[words.index("--format") + 1] == "docker"
    assert words[words.index("-v") + 1] == "/a:/b:ro"


def test_a_missing_build_tool_is_named_with_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"neither docker nor buildah is usable here .*apt-get install"):
        ContainerEngine.find()
    with pytest.raises(ConfigError, match="buildah is not usable here"):
        ContainerEngine.find("buildah")


def test_a_base_image_that_cannot_be_had_is_an_error_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"cannot be pulled, and debootstrap.* is not installed"):
        base.make_stand_in(ContainerEngine("buildah"), "nowhere/python:3.11")
    monkeypatch.setattr(base.shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="only root can make a stand-in"):
        base.make_stand_in(ContainerEngine("buildah"), "nowhere/python:3.11")


def test_builds_are_isolated_by_chroot_unless_the_user_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUILDAH_ISOLATION", raising=False)
    assert engine.isolation() == ["--isolation", "chroot"]
    monkeypatch.setenv("BUILDAH_ISOLATION", "oci")
    assert engine.isolation() == []


def test_what_the_machine_says_to_pip_is_lent_to_builds_by_mounts_alone(tmp_path: Path) -> None:
    wheels, index, certificates = tmp_path / "wheels", tmp_path / "index" / "simple", tmp_path / "ca.pem"
    wheels.mkdir()
    index.mkdir(parents=True)
    certificates.write_text("-")
    settings = {
        "find-links": str(wheels),
        "extra-index-url": f"{index.as_uri()} https://mirror.example/simple",
        "cert": str(certificates),
        "disable-pip-version-check": "1",
    }

    lent = dict(mount.split(":")[1::-1] for mount in machine_settings.mounts(settings, tmp_path))

    assert lent[str(wheels)] == str(wheels)
    # The index's files lie beside it.
    assert lent[str(index.parent)] == str(index.parent)
    assert Path(lent["/etc/ssl/certs"], "ca-certificates.crt").read_text() == "-"
    assert Path(lent["/etc/pip.conf"]).read_text().splitlines() == [
        "[global]",
        "cert = /etc/ssl/certs/ca-certificates.crt",
        f"find-links = {wheels}",
        f"extra-index-url = {index.as_uri()} https://mirror.example/simple",
    ]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put shell scripts in place of programs; each records its arguments before anything else."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def put(name: str, script: str) -> Path:
        calls = tmp_path / f"{name}.calls"
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n', encoding="utf-8")
        (folder / name).chmod(0o755)
        return calls

    return put


@pytest.fixture
def context(tiny_bundle: Path, tmp_path: Path) -> BuildContext:
    manifest = open_bundle(tiny_bundle).manifest
    packaged = Packaged(mar=tmp_path, bento="-")
    return BuildContext(
        path=tmp_path / "laid-out", store=tmp_path, packaged=packaged, bundle=tiny_bundle, manifest=manifest
    )


PYTORCH = "https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(("engine_name", "wheel"), [("docker", True), ("buildah", False), ("buildah", True)])
def test_only_a_folder_with_its_wheel_takes_the_place_of_the_index_of_cpu_torch(
    engine_name: str,
    wheel: bool,
    programs: Callable[[str, str], Path],
    context: BuildContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / f"torch-2.13.0{'+cpu' if wheel else ''}-cp311-cp311-linux_x86_64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", PYTORCH)
    # The size of an image, as docker and podman tell it.
    programs("podman", "echo 7")
    calls = programs(engine_name, "echo 7")

    build_image(ContainerEngine(engine_name), image_build(context, "bento", {"BASE": "b"}), context)

    words = calls.read_text().splitlines()[0].split()
    assert ("TORCH_INDEX=" in words) == (engine_name == "buildah" and wheel)


def test_docker_gets_the_environments_places_of_packages_by_name_and_what_is_given(
    programs: Callable[[str, str], Path], context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:password@mirror.example/simple")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    calls = programs("docker", "echo 7")

    build_image(
        ContainerEngine("docker"), image_build(context, "bento", {"BASE": "b", "EXTRA_PACKAGES": "x y"}), context
    )

    command = calls.read_text().splitlines()[0]
    assert "--build-arg PIP_EXTRA_INDEX_URL --label" in command
    assert "--build-arg EXTRA_PACKAGES=x y" in command
    assert "password" not in command
    assert "PIP_INDEX_URL" not in command.replace("PIP_EXTRA_INDEX_URL", "")


def test_places_of_packages_are_arguments_of_the_stages_that_run_pip_alone() -> None:
    for name in ("bento", "torchserve", "training"):
        text = (ROOT / "deploy" / f"{name}.Dockerfile").read_text(encoding="utf-8")
        for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
            declared = re.findall(r"^ARG (PIP_.*)$", stage, flags=re.MULTILINE)
            assert declared == (["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"] if "-m pip " in stage else [])


def test_a_build_argument_without_a_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["images", "bundle", "--build-arg", "TORCH_INDEX"])
    with pytest.raises(ConfigError, match="--build-arg must be NAME=VALUE, got 'TORCH_INDEX'"):
        main()


@pytest.mark.parametrize("target", ["images", "smoke-images"])
def test_make_asks_the_registry_that_it_is_given(target: str) -> None:
    command = ["make", "--dry-run", target, "TRACKING=http://mlflow.example:5000"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"MLFLOW_TRACKING_URI=http://mlflow\.example:5000 \S+ -m deploy\.images", shown)


def test_why_a_base_image_cannot_be_pulled_is_said(
    programs: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = '[ "$1" = pull ] && echo "trying" >&2 && echo "Error: toomanyrequests" >&2; exit 1'
    programs("docker", refused)
    with pytest.raises(UnavailableError, match=r"python:1 cannot be pulled \(Error: toomanyrequests\)"):
        base.ensure_base(ContainerEngine("docker"), "python:1")
    programs("buildah", refused)
    monkeypatch.setattr(base.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="debootstrap debian-archive-keyring"):
        base.ensure_base(ContainerEngine("buildah"), "python:1")
    assert "it cannot be pulled (Error: toomanyrequests)" in capsys.readouterr().out


def test_a_stand_in_is_made_of_signed_packages_alone(programs: Callable[[str, str], Path], tmp_path: Path) -> None:
    calls = programs("debootstrap", "echo 'E: no keyring'; exit 1")
    with pytest.raises(UnavailableError, match=r"debian-archive-keyring installed\? E: no keyring"):
        base._debootstrap(tmp_path / "root", tmp_path / "log")
    assert "--force-check-gpg" in calls.read_text()


def test_build_tools_caches_and_traces_of_the_machine_are_found_in_an_image() -> None:
    base_paths = ["/usr/bin", "/usr/bin/make", "/root", "/etc", "/var/lib/apt/lists"]
    added = ["/usr/bin/gcc", "/root/.cache", "/root/.cache/pip/x", "/etc/pip.conf", "/var/lib/apt/lists/some_Packages"]
    assert set(leftovers([*base_paths, *added, "/opt/venv/bin/python"], base_paths)) == {
        "/usr/bin/gcc",
        "/root/.cache",
        "/etc/pip.conf",
        "/var/lib/apt/lists/some_Packages",
    }


INSPECTED = {
    "docker": {"Config": {"Labels": {"a": "1"}, "Healthcheck": {"Test": ["CMD", "python", "probe"]}}},
    "podman": {"Config": {"Labels": {"a": "1"}}, "Healthcheck": {"Test": ["CMD", "python", "probe"]}},
}


@pytest.mark.parametrize("runner", INSPECTED)
def test_an_image_runs_confined_and_its_health_check_is_run_inside(
    runner: str,
    programs: Callable[[str, str], Path],
    context: BuildContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("CONTAINERS_CONF", raising=False)
    monkeypatch.setattr(Container, "wait_until", lambda self, is_ready, within_s: self.wait())
    answer = json.dumps([INSPECTED[runner]])
    programs("runc", "true")
    calls = programs(runner, f'[ "$1" = image ] && echo \'{answer}\'; [ "$1" = exec ] && exit 1; true')
    engine = ContainerEngine("docker" if runner == "docker" else "buildah")
    with running(engine, "a:1", context.manifest, log=tmp_path / "log", torchserve=False) as started:
        assert not started.healthy
        assert started.labels == {"a": "1"}

    lines = calls.read_text().splitlines()
    (run,) = (line for line in lines if " --read-only " in line)
    name = run.split()[run.split().index("--name") + 1]
    assert f"exec {name} python probe" in lines
    for option in (
        *("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--network host", "--no-healthcheck"),
        *("--tmpfs /tmp:rw,noexec,nosuid,nodev", "--env=BENTOML_HOST=127.0.0.1"),
    ):
        assert option in run
    assert ("--runtime runc" in run) == ("--ulimit host" in run) == (runner == "podman")
    assert engine.run_environment == ({} if runner == "docker" else {"CONTAINERS_CONF": str(PODMAN_SETTINGS)})
    # Nothing of it is left running.
    assert calls.read_text().splitlines()[-1] == f"rm --force {name}"


def test_buildah_alone_tells_sizes_to_three_digits(programs: Callable[[str, str], Path]) -> None:
    programs("buildah", "echo 1.32 GB")
    engine = ContainerEngine("buildah")
    engine.runner = "no-such-program"
    assert engine.size("a:1") == 1_320_000_000


CHECKED = Checked(
    name="bento",
    image=Built(tag="a:1", bytes=700_000_000, above_base=420_000_000),
    seconds_to_ready=9.0,
    confinement={"not root": True, "read-only root": True},
    healthy=True,
    wrong_labels=[],
    leftovers=[],
    requests=75,
    requests_alike=75,
    items=200,
    items_different=0,
    drained=Drained(requests=48, in_flight=47, answered=48, exit_code=0),
)


def test_the_items_that_images_get_are_the_held_out_ones_of_the_bundles_run(tmp_path: Path) -> None:
    items = [HeldOutItem(id=str(number), input=f"text {number}", reference="a") for number in range(ITEMS + 1)]
    (tmp_path / "run" / "held_out").mkdir(parents=True)
    write_held_out(tmp_path / "run" / "held_out" / "test.parquet", items)
    assert held_out_items(tmp_path / "run" / "bundle") == [item.input for item in items[:ITEMS]]
    # A bundle elsewhere, or NAME@champion.
    assert held_out_items(Path("some-model@champion")) == []


def test_an_image_that_does_what_it_must_has_no_faults_even_when_it_starts_slowly() -> None:
    assert CHECKED.faults() == []


def test_the_standard_image_needs_no_health_check() -> None:
    assert dataclasses.replace(CHECKED, name=STANDARD, healthy=None).faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"image": Built(tag="a:1", bytes=1, above_base=420_000_001)}, "420 MB above its base, 420 MB are allowed"),
        ({"healthy": False}, "its health check fails"),
        ({"healthy": None}, "it has no health check"),
        (
            {"wrong_labels": ["dragoman.bundle.digest", "dragoman.mlflow.run_id"]},
            "missing or wrong labels: dragoman.bundle.digest, dragoman.mlflow.run_id",
        ),
        ({"requests": 0, "requests_alike": 0}, "no request was sent to it"),
        ({"items": 0}, "no request was sent to it"),
        ({"confinement": {}}, "its process 1 was not looked at"),
        ({"leftovers": ["/usr/bin/gcc"]}, "left over from the build: /usr/bin/gcc"),
        ({"requests_alike": 74}, "1 requests and 0 items answered differently than by the engine"),
        ({"confinement": {"not root": False}}, "not so: not root"),
        (
            {"drained": Drained(requests=48, in_flight=47, answered=47, exit_code=0)},
            "47 of 48 requests answered while it ended",
        ),
        (
            {"drained": Drained(requests=48, in_flight=0, answered=48, exit_code=0)},
            "no request was in flight when it got SIGTERM",
        ),
        ({"drained": Drained(requests=48, in_flight=47, answered=48, exit_code=143)}, "it ended with 143"),
    ],
)
def test_each_fault_of_an_image_is_named(change: dict[str, object], fault: str) -> None:
    assert dataclasses.replace(CHECKED, **change).faults() == [f"bento: {fault}"]  # type: ignore[arg-type]


def test_no_dockerfile_has_anything_for_a_linter_to_say() -> None:
    files = sorted(map(str, (ROOT / "deploy").glob("*.Dockerfile")))
    assert len(files) == 3
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), *files], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")
