"""The parts of the benchmark that all tasks share: tables, limits, and the command that finds a task's."""

import io
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.serving.bench import Contestant
from benchmarks.serving.comparison import BENTO, at_least
from benchmarks.serving.limits import BATCH, Measurement, in_batches
from benchmarks.serving.load_test import LoadTestResult
from benchmarks.serving.tables import Words, show
from tests.conftest import ROOT

FIGURES = {"requests_per_s": 12.5, "p50_ms": 80.0, "p95_ms": 90.0, "p99_ms": 99.0, "errors": 0, "client_cores": 0.1}


def _figures(tokens: float | None) -> dict[str, Any]:
    return {**FIGURES, "target_tokens_per_s": tokens, "target_tokens_per_answer": tokens}


@pytest.mark.parametrize("tokens", [250.0, None])
def test_the_tables_name_the_inputs_and_the_measures_of_the_task(tokens: float | None) -> None:
    figures = _figures(tokens)
    server = {
        "settings": "as it ships",
        "failed": None,
        "closed": {"1": figures, "32": figures},
        "open": {"0.8": figures},
        "mixed": {"alone": figures, "beside_long": figures, "long": figures},
        "memory": {"largest_mb": 200.0, "total_mb": 300.0},
        "start_s": 2.5,
        "others_cores": 0.02,
        "accuracy": 97.25,
    }
    results = {
        "bundle": {"name": "pictures", "version": "0a1b"},
        "machine": {"cores": 2, "cpu": "a processor"},
        "plan": {"clients": [1, 32], "open_shares": [0.8], "other": False, "mixed": True},
        "servers": {BENTO: server, "slow": {"settings": "none", "failed": "out of order"}},
        "limits": {"engine": {**figures, "settings": "int8", "accuracy": 97.5}},
        "ratios": {BENTO: {}},
        "targets": [{**asdict(at_least(2.0, "twice as fast", 3.0)), "met": True}],
    }
    page = io.StringIO()

    words = Words(items="pictures", short="thumbnails", long="posters", quality={"accuracy": "top 1, %"})
    show(Console(file=page, width=150), results, words)

    shown = page.getvalue()
    for text in ("Pictures a second", "pictures/s together", "thumbnails beside posters", "top 1, %", "97.25", "97.50"):
        assert text in shown
    assert "slow failed: out of order" in shown
    assert ("250" in shown) == (tokens is not None)


def test_a_contestant_is_summed_up_with_the_quality_of_the_outputs_of_all_rounds() -> None:
    contestant = Contestant("one", "none")
    for outputs in ({0: "a"}, {1: "b"}):
        contestant.add(LoadTestResult(figures={"start_s": 2.0}, outputs=outputs))

    found = contestant.summary(lambda outputs: {"share": 100 * len(outputs) / 3})

    assert (found["start_s"], found["items"], found["share"]) == (2.0, 2, 66.67)


def test_batches_hold_items_of_similar_length_and_outputs_keep_the_order() -> None:
    batches: list[Sequence[str]] = []

    def answer(items: Sequence[str]) -> list[str]:
        batches.append(items)
        return [item.upper() for item in items]

    items = ["a" * (1 + number * 7 % 50) for number in range(BATCH + 5)]

    assert in_batches(answer)(items) == [item.upper() for item in items]
    assert [len(batch) for batch in batches] == [BATCH, 5]
    assert max(map(len, batches[0])) <= min(map(len, batches[1]))


def test_a_limit_without_tokens_has_all_the_other_figures(tmp_path: Path) -> None:
    measurement = Measurement(tmp_path, ["a", "b", "c"], alone=2)

    found = measurement.measure("one", "none", list)

    assert (found["outputs"], found["target_tokens_per_s"]) == (["a", "b", "c"], None)
    assert found["requests_per_s"] > 0
    assert found["p50_ms"] is not None


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (("bench",), "benchmarks.translation.serve --bundle"),
        (("bench", "TASK=text_classification"), "benchmarks.text_classification.serve --bundle"),
        (("bench-quick", "TASK=text_classification"), "benchmarks.text_classification.serve --quick --bundle"),
        (("bench-quick", "TASK=image_classification"), "benchmarks.image_classification.serve --quick --bundle"),
    ],
)
def test_make_bench_runs_the_benchmark_of_the_task(arguments: tuple[str, ...], module: str) -> None:
    command = ["make", "-n", *arguments, "BUNDLE=b"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"python -m {module} b" in printed
