import os
import platform
from pathlib import Path

import pytest

from dragoman.engines.cpu import kernel_settings, processor, usable_cores


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


X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC
cpu MHz\t\t: {mhz}
flags\t\t: fpu avx2 {flags}

processor\t: 1
model name\t: another
"""


def described(folder: Path, text: str) -> dict[str, str]:
    (folder / "cpuinfo").write_text(text, encoding="ascii")
    return processor(folder / "cpuinfo")


def test_a_processor_is_the_same_at_every_frequency_and_another_with_other_flags(tmp_path):
    found = described(tmp_path, X86.format(mhz=2595.1, flags="avx512f"))
    assert found["model name"] == "AMD EPYC"
    assert described(tmp_path, X86.format(mhz=3100.0, flags="avx512f")) == found
    assert described(tmp_path, X86.format(mhz=2595.1, flags="")) != found


def test_an_arm_processor_is_known_by_its_part(tmp_path):
    text = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU part\t: 0xd0c\n"
    found = described(tmp_path, text)
    assert (found["cpu part"], found["features"]) == ("0xd0c", "fp asimd")
    assert "bogomips" not in found


def test_without_a_description_of_the_processor_its_architecture_is_left(tmp_path):
    assert processor(tmp_path / "cpuinfo")["machine"] == platform.machine()


def test_the_settings_that_choose_kernels_are_those_of_the_libraries(monkeypatch):
    for name in kernel_settings():
        monkeypatch.delenv(name)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("CT2_USE_MKL", "1")
    monkeypatch.setenv("DRAGOMAN_ENGINE", "torch")
    assert kernel_settings() == {"CT2_USE_MKL": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"}
