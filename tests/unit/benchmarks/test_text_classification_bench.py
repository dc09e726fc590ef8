"""The benchmark of text classification: what it sends, what answers are worth, and its targets."""

import csv
import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.peers.bento import ALONE, BATCHED, json_texts
from benchmarks.serving.comparison import BENTO, MAR
from benchmarks.text_classification.outputs import of_best, of_label, quality
from benchmarks.text_classification.targets import INT8, TORCH, targets
from benchmarks.text_classification.workloads import load_workloads
from dragoman.bundle.store import Bundle
from dragoman.errors import DataError
from scoring.held_out import HeldOutItem, write_held_out

LABELS = ("acq", "earn")


def _bundle(run_dir: Path, labels: tuple[str, ...] = LABELS) -> Bundle:
    """The parts of a bundle that workloads ask for."""
    return cast(Bundle, SimpleNamespace(path=run_dir / "bundle", manifest=SimpleNamespace(options={"labels": labels})))


def _write_r8(data: Path) -> None:
    (data / "r8").mkdir()
    rows = [
        ("shares of the bank", "acq", "test"),
        ("net \n profit", "earn", "test"),
        ("oil", "acq", "train"),
        ("oil", "acq", "train"),
        ("profit " * 600, "earn", "train"),
        ("loss " * 600, "earn", "train"),
    ]
    with gzip.open(data / "r8" / "r8.csv.gz", "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])


def test_articles_of_the_test_split_are_sent_and_others_make_short_and_long_texts(tmp_path: Path) -> None:
    _write_r8(tmp_path)

    found = load_workloads(tmp_path, _bundle(tmp_path))

    assert found.items == ("shares of the bank", "net profit")
    assert found.references == LABELS
    assert found.short == ("oil",)
    (long,) = found.long
    assert len(long.split()) == 1201
    assert (found.cost, found.long_cost) == (3.0, 1000)


def test_a_bundle_of_other_classes_is_sent_its_own_held_out_set(tmp_path: Path) -> None:
    _write_r8(tmp_path)
    items = [HeldOutItem(id=str(number), input=f"text {number}", reference="a") for number in range(3)]
    (tmp_path / "held_out").mkdir()
    write_held_out(tmp_path / "held_out" / "test.parquet", items)

    found = load_workloads(tmp_path, _bundle(tmp_path, labels=("a", "b")))

    assert found.items == ("text 0", "text 1", "text 2")
    assert found.references == ("a", "a", "a")


def test_without_texts_it_says_where_they_may_come_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no r8 .*parquet does not exist; give .*--data"):
        load_workloads(tmp_path, _bundle(tmp_path))


def test_quality_is_the_share_of_right_labels_and_of_those_that_ours_gives_too() -> None:
    ours = {0: {"acq": 0.9, "earn": 0.1}, 1: {"acq": 0.6, "earn": 0.4}, 2: {"earn": 1.0}}
    theirs = {0: of_label("acq"), 1: of_best({"label": "earn", "score": 0.51})}

    assert quality(theirs, ("acq", "earn", "earn"), ours) == {"accuracy": 100.0, "agreement": 50.0}
    assert quality(theirs, ("acq", "acq", "earn"), {}) == {"accuracy": 50.0}


def test_a_batched_service_gets_and_gives_lists_and_the_other_one_text() -> None:
    one, many = json_texts(ALONE, of_best), json_texts(BATCHED, of_best)

    assert (one.body("oil"), many.body("oil")) == (b'{"text": "oil"}', b'{"texts": ["oil"]}')
    assert one.output('{"label": "acq", "score": 0.5}') == {"acq": 0.5}
    assert many.output('[{"label": "acq", "score": 0.5}]') == {"acq": 0.5}


def _server(per_s: float, **more: Any) -> dict[str, Any]:
    return {"closed": {"32": {"requests_per_s": per_s}}, **more}


def test_peers_that_compute_one_by_one_must_be_passed_twice_over_and_batching_ones_by_a_third() -> None:
    servers = {
        BENTO: _server(30.0),
        MAR: _server(26.0),
        "TorchServe, one by one": _server(15.0, agreement=99.0),
        "BentoML, batches": _server(20.0, agreement=98.9),
    }
    limits = {INT8: {"requests_per_s": 40.0}, TORCH: {"requests_per_s": 20.0}}

    found = {target.name: (target.value, target.met) for target in targets(servers, limits)}

    assert found[f"{BENTO}: articles/s over TorchServe, one by one, 32 clients"] == (2.0, True)
    assert found[f"{MAR}: articles/s over TorchServe, one by one, 32 clients"] == (1.73, False)
    assert found[f"{BENTO}: articles/s over BentoML, batches, 32 clients"] == (1.5, True)
    assert found[f"{MAR}: articles/s over BentoML, batches, 32 clients"] == (1.3, True)
    assert found["TorchServe, one by one: labels as ours, %"] == (99.0, True)
    assert found["BentoML, batches: labels as ours, %"] == (98.9, False)
    assert found["BentoML, one by one: labels as ours, %"] == (None, None)
    assert found[f"{INT8} over {TORCH}, the same batches"] == (2.0, True)
