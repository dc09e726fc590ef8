"""The monitoring files as a test reads them: the expressions of the dashboard and of the alerts, and their metrics."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from tests.conftest import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "dragoman.json"
# Prometheus makes these itself.
BUILT_IN = {"up", "ALERTS"}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_expressions(rate_interval: str = "1m") -> Iterator[tuple[str, str]]:
    """Return the title and the expression of each panel, with the variables filled in as Grafana does."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", rate_interval)
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics in an expression; raises ValueError when it is none."""
    names: set[str] = set()

    def note(part: object) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            assert part.name, f"a selector without a name in {expression}"
            names.add(part.name)
        if isinstance(part, promql_parser.MatrixSelector):
            names.add(part.vector_selector.name)

    promql_parser.walk(promql_parser.parse(expression), note)
    return names


def exposed_metrics(page: str) -> set[str]:
    """Return the names on a server's metrics page, with the series of its histograms."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def rewritten(folder: Path, targets: dict[str, str], interval: str) -> Path:
    """Write our prometheus.yml into ``folder``, with other addresses and a shorter interval."""
    document = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    document["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    document["rule_files"] = [str(MONITORING / path) for path in document["rule_files"]]
    for job in document["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets.pop(job["job_name"])]}]
    assert not targets
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
