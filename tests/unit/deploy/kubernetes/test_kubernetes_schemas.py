"""The Kubernetes manifests against the API's own schemas, strictly, and a linter of security settings."""

import ast
import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import schema_contents

from tests.conftest import ROOT
from tests.kubernetes import APPLIED, FOLDER, of_kind, pods, render

# The oldest that has all that the manifests use (preStop.sleep), and the newest.
VERSIONS = ("1.30", "1.37")
# What other projects define: KServe's schema is checked below, the Gateway API's comes in no package for Python.
CUSTOM = {"HTTPRoute", "InferenceService"}
TOOLS = ROOT / ".venv" / "manifest-checks"
CHECKOV = TOOLS / "bin" / "checkov"


def everything() -> list[dict[str, Any]]:
    """Collect every object once, with the Deployment of an InferenceService, since the tools know no other kind."""
    objects = [each for name in APPLIED for each in render(name)]
    (predictor,) = (each for each in pods(objects) if each.owner["kind"] == "InferenceService")
    fields_of_pods = {name for version in VERSIONS for name in _pod_spec_schema(version)["properties"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**predictor.owner["metadata"], "labels": predictor.labels},
        "spec": {
            "selector": {"matchLabels": predictor.labels},
            "strategy": predictor.spec["deploymentStrategy"],
            "template": {
                "metadata": {"labels": predictor.labels},
                "spec": {name: value for name, value in predictor.spec.items() if name in fields_of_pods},
            },
        },
    }
    unique = {json.dumps(each, sort_keys=True): each for each in [*objects, deployment]}
    return list(unique.values())


def _pod_spec_schema(version: str) -> dict[str, Any]:
    definitions = schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json", version)
    return definitions["$defs"]["io.k8s.api.core.v1.PodSpec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_of_kubernetes(version: str) -> None:
    checked = [each for each in everything() if each["kind"] not in CUSTOM]
    assert len(checked) > 25
    for each in checked:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_misspelt_field_is_found(version: str) -> None:
    (deployment, *_) = of_kind(everything(), "Deployment")
    wrong = copy.deepcopy(deployment)
    (container,) = wrong["spec"]["template"]["spec"]["containers"]
    container["livenesProbe"] = container.pop("livenessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(wrong, version, strict=True)


def _kserve_schema() -> dict[str, Any]:
    """Make a JSON schema of KServe's own Python models of an InferenceService; pods are checked elsewhere."""
    classes = _tables_of_classes(next(TOOLS.glob("lib/python*/site-packages/kserve/models")))

    def of_type(name: str) -> dict[str, Any]:
        if found := re.fullmatch(r"list\[(.+)\]", name):
            return {"type": "array", "items": of_type(found[1])}
        if name.startswith("dict("):
            return {"type": "object"}
        plain = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}
        if name in plain:
            return {"type": plain[name]}
        return of_class(name) if name in classes else {}

    def of_class(name: str) -> dict[str, Any]:
        names, types = classes[name]["attribute_map"], classes[name]["openapi_types"]
        properties = {names[key]: of_type(kind) for key, kind in types.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    return of_class("V1beta1InferenceService")


def _tables_of_classes(models: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Read two tables of each model: names in Python to types, and to names in JSON. Nothing of KServe is imported."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for path in models.glob("v1beta1_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                assignments = [part for part in node.body if isinstance(part, ast.Assign)]
                tables[node.name] = {
                    target.id: ast.literal_eval(part.value)
                    for part in assignments
                    for target in part.targets
                    if isinstance(target, ast.Name)
                }
    return tables


@pytest.fixture
def tools() -> None:
    if not CHECKOV.exists():
        pytest.skip(f"the linter is not installed in {TOOLS.relative_to(ROOT)}; `make test` installs it")


@pytest.mark.usefixtures("tools")
def test_the_inference_service_is_one_of_kserve() -> None:
    (service,) = of_kind(everything(), "InferenceService")
    schema = _kserve_schema()
    jsonschema.validate(service, schema)
    wrong = copy.deepcopy(service)
    wrong["spec"]["predictor"]["scaleTargt"] = wrong["spec"]["predictor"].pop("scaleTarget")
    with pytest.raises(jsonschema.ValidationError, match="scaleTargt"):
        jsonschema.validate(wrong, schema)


# What is taken away from a Deployment of ours, under the name it then gets, and what the linter calls that.
WEAKENED = {
    "root": ("CKV_K8S_23", "securityContext.runAsNonRoot", "securityContext.runAsUser"),
    "escalating": ("CKV_K8S_20", "container.securityContext.allowPrivilegeEscalation"),
    "writable": ("CKV_K8S_22", "container.securityContext.readOnlyRootFilesystem"),
    "capable": ("CKV_K8S_37", "container.securityContext.capabilities"),
    "unconfined": ("CKV_K8S_31", "securityContext.seccompProfile"),
    "unlimited": ("CKV_K8S_13", "container.resources.limits.memory"),
    "unwatched": ("CKV_K8S_8", "container.livenessProbe"),
}


@pytest.mark.usefixtures("tools")
def test_the_linter_of_security_settings_finds_what_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    (champion, *_) = of_kind(everything(), "Deployment")
    weak = [_without(champion, name, paths) for name, (_, *paths) in WEAKENED.items()]
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all([*everything(), *weak]), encoding="utf-8")
    done = subprocess.run(
        [CHECKOV, "--directory", tmp_path, "--config-file", FOLDER / "checkov.yaml", "--output", "json", "--compact"],
        capture_output=True,
        text=True,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, done.stderr
    assert report["summary"]["passed"] > 400
    failed = {(found["resource"].rpartition(".")[2], found["check_id"]) for found in report["results"]["failed_checks"]}
    assert {(name, check) for name, (check, *_) in WEAKENED.items()} <= failed
    assert {(name, check) for name, check in failed if name not in WEAKENED} == set()


def _without(deployment: dict[str, Any], name: str, paths: list[str]) -> dict[str, Any]:
    weak = copy.deepcopy(deployment)
    weak["metadata"]["name"] = name
    pod = weak["spec"]["template"]["spec"]
    for path in paths:
        *steps, last = path.removeprefix("container.").split(".")
        place = pod["containers"][0] if path.startswith("container.") else pod
        for step in steps:
            place = place[step]
        del place[last]
    return weak
