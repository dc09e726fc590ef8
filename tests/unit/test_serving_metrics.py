"""The figures of a server while one model takes over from another."""

from pathlib import Path
from typing import Any

import prometheus_client
import pytest

import dragoman
from dragoman.computing import FAILURES_UNTIL_UNHEALTHY
from dragoman.serving_metrics import BatcherMetrics, ServingMetrics


def ready(metrics: ServingMetrics) -> float:
    gauge: Any = metrics._ready
    (family,) = gauge.collect()
    return float(family.samples[0].value)


def test_a_model_whose_engine_failed_has_no_say_once_another_one_serves(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, works = dragoman.load(tiny_bundle), dragoman.load(tiny_bundle)
    metrics = ServingMetrics(prometheus_client)
    observer = BatcherMetrics(metrics, dead)
    metrics.serves(dead)
    observer.batch_ended([])
    assert ready(metrics) == 1
    monkeypatch.setattr(dead.task.engine, "decode", lambda *_, **__: 1 / 0)
    for _ in range(FAILURES_UNTIL_UNHEALTHY):
        dead(["the red car"])
    observer.batch_ended([])
    assert ready(metrics) == 0
    metrics.serves(works)
    metrics.ready(works)
    # Requests that began with the model of before end with it.
    observer.batch_ended([])
    assert ready(metrics) == 1
    dead.close()
    works.close()
