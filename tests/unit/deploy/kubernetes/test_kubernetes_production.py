"""The folders of a user's own that docs/how-to/kubernetes.md describes: made as it says, and rendered."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.kubernetes import FOLDER, environment, named, of_kind, pods, render

FOLDERS = ("cpu", "canary", "kserve", "train", "tune")


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("of_a_user")
    shutil.copytree(FOLDER, folder / "deploy" / "kubernetes")
    text = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    settings, training = re.findall(r"^```yaml\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```sh\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)
    for content in (settings, training):
        assert content.startswith("# ")
    (folder / "production" / "settings").mkdir(parents=True)
    (folder / "production" / "settings" / "kustomization.yaml").write_text(settings, encoding="utf-8")
    subprocess.run(["sh", "-euc", commands], cwd=folder, check=True)
    with (folder / "production" / "train" / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write(training)
    return folder / "production"


@pytest.fixture(params=FOLDERS)
def objects(production: Path, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(production / request.param)


def test_nothing_that_is_applied_runs_an_image_of_somewhere_else(objects: list[dict[str, Any]]) -> None:
    images = {container["image"] for each in pods(objects) for container in each.all_containers}
    assert images
    for image in images:
        assert re.fullmatch(r"registry\.example/dragoman-(bento|torchserve|registry|training):1\.2\.0", image)


def test_whoever_asks_mlflow_asks_the_address_of_the_settings_and_may_reach_it(objects: list[dict[str, Any]]) -> None:
    there = [{"ipBlock": {"cidr": "192.0.2.10/32"}}]
    for each in pods(objects):
        for container in each.all_containers:
            if uri := environment(container, objects).get("MLFLOW_TRACKING_URI"):
                assert uri == "https://mlflow.example"
                assert each.may_reach(443, objects) == there
                assert each.may_reach(5000, objects) == []
                assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in each.may_reach(53, objects)


def test_followers_and_jobs_ask_mlflow(production: Path) -> None:
    for name in set(FOLDERS) - {"kserve"}:
        objects = render(production / name)
        for each in pods(objects):
            assert any("MLFLOW_TRACKING_URI" in environment(one, objects) for one in each.all_containers), each.name


def test_both_accounts_may_pull_the_images(production: Path) -> None:
    accounts = of_kind(render(production / "cpu"), "ServiceAccount")
    assert {each["metadata"]["name"] for each in accounts} == {"dragoman-server", "dragoman-training"}
    for each in accounts:
        assert each["imagePullSecrets"] == [{"name": "pull"}]
    used = {each.spec["serviceAccountName"] for name in FOLDERS for each in pods(render(production / name))}
    assert used == {each["metadata"]["name"] for each in accounts}


def test_a_canary_leaves_the_champion_as_it_was_deployed(production: Path) -> None:
    deployed, beside = (render(production / name) for name in ("cpu", "canary"))
    assert named(beside, "Deployment", "bento") == named(deployed, "Deployment", "bento")
    for kind in ("Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap"):
        assert of_kind(beside, kind) == of_kind(deployed, kind)
    (route,) = of_kind(beside, "HTTPRoute")
    assert route["spec"]["hostnames"] == ["translate.example.com"]
    paths = {match["path"]["value"] for match in route["spec"]["rules"][0]["matches"]}
    assert paths == {"/translate", "/languages", "/docs.json"}


def test_followers_ask_for_the_model_of_the_settings(production: Path) -> None:
    (settings,) = of_kind(render(production / "cpu"), "ConfigMap")
    assert settings["data"]["DRAGOMAN_MODEL"] == "translation-en-de"


def test_what_is_shared_is_the_same_in_every_folder(production: Path) -> None:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name in FOLDERS:
        for each in render(production / name):
            if each["kind"] in {"Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap", "PersistentVolumeClaim"}:
                assert found.setdefault((each["kind"], each["metadata"]["name"]), each) == each


def test_a_training_has_the_settings_and_the_folder_of_its_patches(production: Path) -> None:
    objects = render(production / "train")
    (job,) = pods(objects)
    (trains,) = job.spec["initContainers"]
    assert trains["args"][-1] == "train.max_minutes=60"
    for container in job.all_containers:
        assert environment(container, objects)["RUN_DIR"] == "runs/phrasebook-2"
