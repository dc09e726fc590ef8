"""The Kubernetes manifests fit each other, the servers and the commands they start."""

import re
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.kubernetes import APPLIED, FOLDER, OVERLAYS, named, of_kind, pods, render, servers


def test_all_that_is_to_be_applied_is_checked_here() -> None:
    assert APPLIED == ["jobs/train", "jobs/tune", "overlays/canary", "overlays/cpu", "overlays/gpu", "overlays/kserve"]


def test_pods_run_as_the_images_user_without_rights_or_a_token(applied: list[dict[str, Any]]) -> None:
    for each in pods(applied):
        security = each.spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, 10001, 10001)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert each.spec["automountServiceAccountToken"] is False


def test_containers_cannot_write_or_gain_rights_and_use_what_they_are_given(applied: list[dict[str, Any]]) -> None:
    containers = [container for each in pods(applied) for container in each.all_containers]
    assert containers
    for container in containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        resources = container["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= resources["requests"].keys() & resources["limits"].keys()


def test_no_secret_lies_in_the_manifests(applied: list[dict[str, Any]]) -> None:
    assert of_kind(applied, "Secret") == []


def test_servers_are_probed_from_start_to_end(overlay: list[dict[str, Any]]) -> None:
    assert servers(overlay)
    for each in servers(overlay):
        for container in each.containers:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                check = container[probe].get("httpGet")
                assert check is None or check["port"] in each.container_ports()
            # A liveness probe that is quicker than readiness restarts a server that is merely busy.
            assert _patience_s(container["livenessProbe"]) > _patience_s(container["readinessProbe"])


def _patience_s(probe: dict[str, Any]) -> int:
    return probe["periodSeconds"] * probe["failureThreshold"]


def test_a_server_has_time_to_answer_what_it_took_before_it_is_killed(overlay: list[dict[str, Any]]) -> None:
    (deadline_s,) = re.findall(r"^DEADLINE_S = (\d+)$", (ROOT / "service.py").read_text(encoding="utf-8"), re.MULTILINE)
    for each in servers(overlay):
        (container,) = each.containers
        leaves_balancers_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert each.spec["terminationGracePeriodSeconds"] >= leaves_balancers_s + int(deadline_s) + 10


def test_what_is_selected_is_there_and_is_one_servers_pods(overlay: list[dict[str, Any]]) -> None:
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        for each in of_kind(overlay, kind):
            selector = {"matchLabels": each["spec"]["selector"]} if kind == "Service" else each["spec"]["selector"]
            (selected,) = (group for group in pods(overlay) if group.match(selector))
            assert selected.owner["metadata"]["name"] == each["metadata"]["name"]
            if kind == "Service":
                assert {port["targetPort"] for port in each["spec"]["ports"]} <= selected.container_ports().keys()


def test_every_deployment_has_a_service_a_budget_and_an_autoscaler(overlay: list[dict[str, Any]]) -> None:
    for deployment in of_kind(overlay, "Deployment"):
        name = deployment["metadata"]["name"]
        assert named(overlay, "Service", name)
        assert named(overlay, "PodDisruptionBudget", name)
        scaler = named(overlay, "HorizontalPodAutoscaler", name)["spec"]
        assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        assert 1 <= scaler["minReplicas"] < scaler["maxReplicas"]
        # Two who set the number of pods undo each other's work.
        assert "replicas" not in deployment["spec"]


def test_the_autoscalers_figures_are_made_of_figures_that_the_servers_show() -> None:
    adapter = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    sources = {rule.get("name", {}).get("as") or _series(rule): _series(rule) for rule in adapter["rules"]["custom"]}
    asked = {
        metric["pods"]["metric"]["name"]
        for name in OVERLAYS
        for scaler in of_kind(render(name), "HorizontalPodAutoscaler")
        for metric in scaler["spec"]["metrics"]
    }
    assert asked == sources.keys()
    served = yaml.safe_load((ROOT / "deploy" / "torchserve" / "metrics.yaml").read_text(encoding="utf-8"))
    of_torchserve = {metric["name"] for metric in served["ts_metrics"]["counter"]}
    assert set(sources.values()) <= of_torchserve | _figures_of_bento()


def test_the_autoscalers_figures_have_two_scrapes_where_prometheus_scrapes_once_a_minute() -> None:
    adapter = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    for rule in adapter["rules"]["custom"]:
        (minutes,) = re.findall(r"\[(\d+)m\]", rule["metricsQuery"])
        assert int(minutes) >= 3


def _series(rule: dict[str, Any]) -> str:
    return rule["seriesQuery"].partition("{")[0]


def _figures_of_bento() -> set[str]:
    source = (ROOT / "dragoman" / "metrics" / "prometheus.py").read_text(encoding="utf-8")
    return set(re.findall(r'"(dragoman_\w+)"', source))


def test_network_policies_select_pods_and_open_ports_that_someone_listens_on() -> None:
    for name in APPLIED:
        objects = render(name)
        for policy in of_kind(objects, "NetworkPolicy"):
            selected = [each for each in pods(objects) if each.match(policy["spec"]["podSelector"])]
            assert selected, f"{name}: {policy['metadata']['name']} selects nothing"
    listened = {port for name in OVERLAYS for each in pods(render(name)) for port in each.container_ports().values()}
    everything = [policy for name in OVERLAYS for policy in of_kind(render(name), "NetworkPolicy")]
    opened = {port for policy in everything for rule in policy["spec"].get("ingress", []) for port in _ports(rule)}
    assert opened == listened


def _ports(rule: dict[str, Any]) -> set[int]:
    return {port["port"] for port in rule["ports"]}


def test_nothing_reaches_a_pod_unless_a_policy_says_so(overlay: list[dict[str, Any]]) -> None:
    deny = named(overlay, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_figures_on_a_port_of_their_own_are_for_prometheus_alone(overlay: list[dict[str, Any]]) -> None:
    public = named(overlay, "NetworkPolicy", "requests-from-the-gateway")["spec"]["ingress"]
    figures = named(overlay, "NetworkPolicy", "figures-to-prometheus")["spec"]["ingress"]
    assert 8082 not in set().union(*(_ports(rule) for rule in public))
    for each in servers(overlay):
        scraped = int(each.annotations["prometheus.io/port"])
        assert scraped in set().union(*(_ports(rule) for rule in figures))
