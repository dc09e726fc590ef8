import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dragoman.items.sizes import Capacity
from tests.conftest import ROOT
from tests.monitoring import MONITORING, alerts, dashboard, dashboard_expressions, metrics_of, panels

COMPOSE = ROOT / "deploy" / "compose.yaml"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed (it comes with Prometheus)")
    return subprocess.run([found, *arguments], capture_output=True, text=True, cwd=MONITORING, check=False)


def test_prometheus_accepts_its_configuration_and_rules():
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


def test_every_alert_fires_for_its_series_and_for_no_other():
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("refused", [None, 30])
def test_the_dashboard_shows_what_torchserve_answered_and_the_times_of_that_alone(refused: int | None, tmp_path: Path):
    """Each minute 10 requests are answered, in 60 seconds of which they wait 30; refused ones are in the total too."""
    every_minute = {
        "ts_inference_requests_total": 10 + (refused or 0),
        "ts_inference_latency_microseconds": 60_000_000,
        "ts_queue_latency_microseconds": 30_000_000,
        **({"Requests5XX": refused} if refused else {}),
    }
    series = [{"series": name, "values": f"0+{step}x20"} for name, step in every_minute.items()]
    targets = {
        target["legendFormat"]: target["expr"].replace("$__rate_interval", "5m")
        for panel in panels()
        for target in panel["targets"]
    }
    expected = {"answered by the model, REST and gRPC": 0.167, "request, mean": 6, "of that waiting, mean": 3}
    checks = [
        {
            "expr": f"round({targets[name]}, 0.001)",
            "eval_time": "20m",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for name, value in expected.items()
    ]
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks}]}))
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_and_says_what_it_means_and_what_to_do():
    tested = (MONITORING / "alerts_test.yml").read_text(encoding="utf-8")
    assert len({rule["alert"] for rule in alerts()}) == len(alerts()) > 0
    for rule in alerts():
        assert rule["alert"] in tested
        assert set(rule["annotations"]) == {"summary", "description", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert metrics_of(rule["expr"])


def test_the_limits_of_the_queue_are_those_of_the_code():
    (rule,) = [rule for rule in alerts() if rule["alert"] == "BentoQueueFilling"]
    capacity = Capacity()
    assert f"dragoman_queue_items > 0.8 * {capacity.max_waiting_items}" in rule["expr"]
    assert f"dragoman_queue_tokens > 0.8 * {capacity.max_waiting_cost}" in rule["expr"]
    limits = [
        panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"]
        for panel in panels()
        if panel["title"].startswith("Bento: queue")
    ]
    assert limits == [capacity.max_waiting_items, capacity.max_waiting_cost]


def test_the_dashboard_is_one_that_grafana_can_show():
    document = dashboard()
    assert document["schemaVersion"] >= 39
    assert document["uid"] == "dragoman"
    (variable,) = document["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    identifiers = [panel["id"] for panel in document["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources), panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0


def test_no_panel_covers_another():
    boxes = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_expression_of_the_dashboard_is_promql():
    for title, expression in dashboard_expressions():
        assert metrics_of(expression), title


def test_grafana_finds_prometheus_and_the_dashboard_where_compose_puts_them():
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dragoman.yml").read_text())["providers"]
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    mounted = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert mounted["./monitoring/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"
    # Prometheus sees the rules beside its configuration.
    assert "./monitoring:/etc/prometheus:ro" in services["prometheus"]["volumes"]
