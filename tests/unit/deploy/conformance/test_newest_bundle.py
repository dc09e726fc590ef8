"""The bundle that is compared where none is given: the newest, of one task if it is named."""

import json
import os
from pathlib import Path

import pytest

from deploy.conformance.__main__ import newest_bundle
from dragoman.errors import ConfigError


def test_the_newest_bundle_of_a_task_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for age, (run, task) in enumerate([("c", "first"), ("a", "second"), ("b", "first")]):
        manifest = tmp_path / "runs" / run / "bundle" / "manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"task": task}), encoding="utf-8")
        os.utime(manifest, (1e9 - age, 1e9 - age))
    assert newest_bundle(None) == newest_bundle("first") == Path("runs/c/bundle")
    assert newest_bundle("second") == Path("runs/a/bundle")


def test_without_one_the_demo_of_that_task_is_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no bundle of the task first in runs/ yet; run `make demo TASK=first`"):
        newest_bundle("first")
    with pytest.raises(ConfigError, match=r"no bundle in runs/ yet; run `make demo`, or give --bundle"):
        newest_bundle(None)
