import os

import pytest

from dragoman.engines.cpu import has_onednn_avx512, usable_cores

AMD = """processor\t: 0
vendor_id\t: AuthenticAMD
flags\t\t: fpu avx2 avx512f avx512dq avx512bw avx512vl

processor\t: 1
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "CT2_USE_MKL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "900000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu.max": "nonsense"}, 4),
        ({"a/cpu.max": "max 100000\n", "a/b/cpu.max": "300000 100000\n"}, 3),
        ({"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 2),
    ],
)
def test_cores_are_those_of_the_affinity_or_of_the_containers_quota(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 5})
    (tmp_path / "own").write_text("0::/a/b\n", encoding="ascii")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    assert usable_cores(tmp_path, tmp_path / "own") == cores


def test_a_process_bound_to_one_core_uses_one(monkeypatch):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("cpu_info", "settings", "found"),
    [
        (AMD, {}, True),
        (AMD, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, True),
        (AMD, {"ONEDNN_MAX_CPU_ISA": "avx2"}, False),
        (AMD, {"DNNL_MAX_CPU_ISA": "AVX2"}, False),
        (AMD, {"CT2_USE_MKL": "1"}, False),
        (AMD.replace("avx512bw ", ""), {}, False),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), {}, False),
        ("Processor\t: AArch64\n", {}, False),
        ("", {}, False),
    ],
)
def test_avx512_kernels_are_known_where_onednn_chooses_them(tmp_path, monkeypatch, cpu_info, settings, found):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "cpuinfo").write_text(cpu_info, encoding="ascii")
    assert has_onednn_avx512(tmp_path / "cpuinfo") is found


def test_without_a_description_of_the_processor_nothing_is_known(tmp_path):
    assert not has_onednn_avx512(tmp_path / "cpuinfo")
