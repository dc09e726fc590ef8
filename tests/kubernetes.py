"""The Kubernetes manifests as a cluster gets them: rendered by the kustomize inside kubectl."""

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
# What a user applies; base and components are parts of these.
APPLIED = sorted(
    str(path.parent.relative_to(FOLDER))
    for pattern in ("overlays/*", "jobs/*")
    for path in FOLDER.glob(f"{pattern}/kustomization.yaml")
    if path.parent.name != "common"
)
SEARCH, TRAINING = "jobs/tune", "jobs/train"
OVERLAYS = [name for name in APPLIED if name.startswith("overlays/")]


@dataclass(frozen=True)
class Pods:
    """The pods that one object makes, whatever its kind."""

    owner: dict[str, Any]
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.owner['kind']} {self.owner['metadata']['name']}"

    @property
    def containers(self) -> list[dict[str, Any]]:
        return self.spec["containers"]

    @property
    def all_containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.containers]

    def match(self, selector: dict[str, Any]) -> bool:
        """Tell whether a selector of labels, and of keys with operator In, picks these pods; an empty one picks all."""
        expressions = selector.get("matchExpressions", [])
        assert {each["operator"] for each in expressions} <= {"In"}
        return selector.get("matchLabels", {}).items() <= self.labels.items() and all(
            self.labels.get(each["key"]) in each["values"] for each in expressions
        )

    def may_reach(self, port: int, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the peers that the policies allow these pods to reach over TCP at a port."""
        egress = [
            rule
            for policy in of_kind(objects, "NetworkPolicy")
            if self.match(policy["spec"]["podSelector"])
            for rule in policy["spec"].get("egress", [])
        ]
        return [peer for rule in egress for peer in rule["to"] if {"protocol": "TCP", "port": port} in rule["ports"]]

    def container_ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for each in self.containers for port in each.get("ports", [])}


@functools.cache
def _rendered(folder: Path) -> str:
    command = [kubectl, "kustomize"] if (kubectl := shutil.which("kubectl")) else ["kustomize", "build"]
    if not shutil.which(command[0]):
        pytest.skip("neither kubectl nor kustomize is installed, so no manifest can be rendered")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(name: str | Path) -> list[dict[str, Any]]:
    """Render the objects of a folder, of deploy/kubernetes unless its path is whole."""
    return list(yaml.safe_load_all(_rendered(FOLDER / name)))


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    return found


def environment(container: dict[str, Any], objects: list[dict[str, Any]]) -> dict[str, str]:
    """Return the environment of a container without the values of secrets."""

    def of_map(name: str) -> dict[str, str]:
        return named(objects, "ConfigMap", name)["data"]

    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= of_map(source["configMapRef"]["name"])
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        if key := source.get("configMapKeyRef"):
            found[variable["name"]] = of_map(key["name"])[key["key"]]
        elif not source:
            found[variable["name"]] = variable["value"]
    return found


def pods(objects: list[dict[str, Any]]) -> list[Pods]:
    found = []
    for each in objects:
        if each["kind"] in {"Deployment", "Job"}:
            template = each["spec"]["template"]
            metadata = template["metadata"]
            found.append(Pods(each, metadata["labels"], metadata.get("annotations", {}), template["spec"]))
        elif each["kind"] == "InferenceService":
            predictor = each["spec"]["predictor"]
            found.append(Pods(each, predictor["labels"], predictor["annotations"], predictor))
    return found


def servers(objects: list[dict[str, Any]]) -> list[Pods]:
    return [each for each in pods(objects) if each.labels["app.kubernetes.io/component"] == "server"]
