"""The cache of self-checks: verdicts are found again, and a cache that cannot be used harms nothing."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dragoman.engines.mixing import Verdict
from dragoman.engines.verdicts import cache_folder, cached_verdict, settled_verdict, store_verdict

KEY = {"bundle": "0" * 64, "processor": {"model name": "AMD EPYC"}, "settings": {}, "versions": {"check": 1}}
PASSED = Verdict("free", "passed: 200 of 200", certain=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DRAGOMAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_verdict_is_found_again_and_says_that_it_is_an_old_one():
    assert cached_verdict(KEY) is None
    store_verdict(KEY, PASSED)
    assert cached_verdict(KEY) == Verdict("free", "cached: passed: 200 of 200", certain=True)


@pytest.mark.parametrize("change", [
    {"bundle": "1" * 64},
    {"processor": {"model name": "Xeon"}},
    {"settings": {"ONEDNN_MAX_CPU_ISA": "AVX2"}},
    {"versions": {"check": 2}},
])  # fmt: skip
def test_another_model_machine_or_library_is_checked_anew(change):
    store_verdict(KEY, PASSED)
    assert cached_verdict(KEY | change) is None


@pytest.mark.parametrize("content", [
    b"", b"\xff\xfe", b"[]", b'{"mixing": "free"}', b'{"key": {}, "mixing": "free", "reason": ""}',
    json.dumps({"key": KEY, "mixing": "always", "reason": ""}).encode(),
    json.dumps({"key": KEY, "mixing": "free", "reason": 1}).encode(),
])  # fmt: skip
def test_a_damaged_file_is_no_verdict_and_is_replaced_by_the_next(cache, content):
    store_verdict(KEY, PASSED)
    (file,) = cache.rglob("*.json")
    file.write_bytes(content)
    assert cached_verdict(KEY) is None
    store_verdict(KEY, PASSED)
    assert cached_verdict(KEY) is not None


def test_a_check_is_made_once_and_again_only_where_it_was_not_certain(monkeypatch):
    monkeypatch.delenv("DRAGOMAN_MIXING", raising=False)
    doubtful = Verdict("by_width", "out of time", certain=False)
    found = iter([doubtful, PASSED])
    assert settled_verdict(KEY, lambda: next(found)) == doubtful
    assert settled_verdict(KEY, lambda: next(found)) == PASSED
    assert settled_verdict(KEY, lambda: next(found)).reason == "cached: passed: 200 of 200"


def test_of_those_who_start_at_once_one_checks_and_the_others_take_its_verdict(monkeypatch):
    monkeypatch.delenv("DRAGOMAN_MIXING", raising=False)
    all_came, checks = threading.Barrier(4), []

    def check() -> Verdict:
        checks.append(1)
        # Long enough for the others to come to the same place.
        threading.Event().wait(0.2)
        return PASSED

    def start(_: int) -> Verdict:
        all_came.wait(10)
        return settled_verdict(KEY, check)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(start, range(4)))
    assert len(checks) == 1
    assert {verdict.mixing for verdict in found} == {"free"}


def test_who_waits_for_a_check_in_vain_takes_the_safe_path_without_another(monkeypatch):
    monkeypatch.delenv("DRAGOMAN_MIXING", raising=False)
    monkeypatch.setattr("dragoman.engines.mixing.BUDGET_S", 0.1)
    is_checking, may_end = threading.Event(), threading.Event()

    def endless() -> Verdict:
        is_checking.set()
        assert may_end.wait(10)
        return PASSED

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(settled_verdict, KEY, endless)
        assert is_checking.wait(10)
        late = settled_verdict(KEY, lambda: pytest.fail("checked"))
        assert (late.mixing, late.certain) == ("by_width", False)
        may_end.set()
        assert first.result() == PASSED
    assert cached_verdict(KEY) is not None


def test_a_verdict_that_is_set_is_neither_checked_nor_kept(monkeypatch, cache):
    monkeypatch.setenv("DRAGOMAN_MIXING", "by_width")
    found = settled_verdict(KEY, lambda: pytest.fail("checked"))
    assert (found.mixing, found.reason) == ("by_width", "not made: DRAGOMAN_MIXING is set")
    assert not cache.exists()


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder", encoding="ascii")
    monkeypatch.setenv("DRAGOMAN_CACHE", str(tmp_path / "file"))
    store_verdict(KEY, PASSED)
    assert cached_verdict(KEY) is None


def test_a_setting_that_is_no_unicode_is_no_error():
    key = KEY | {"settings": {"MKL_NOTE": "\udcff"}}
    store_verdict(key, PASSED)
    assert cached_verdict(key) is None


def test_many_that_write_at_once_leave_one_whole_file(cache):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store_verdict(KEY, PASSED), range(40)))
    assert len([file for file in cache.rglob("*") if file.is_file()]) == 1
    assert cached_verdict(KEY) is not None


def test_the_folder_is_the_users_cache_unless_it_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DRAGOMAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "dragoman"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "dragoman"
