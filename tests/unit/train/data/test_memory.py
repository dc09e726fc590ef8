from pathlib import Path

import pytest

from dragoman.errors import DataError
from train.data import memory
from train.data.memory import require_memory


def of_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: str, limit: str | None) -> None:
    """Let the machine say so much free memory, and its container such a limit."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\n{free}\n", encoding="ascii")
    if limit is not None:
        (tmp_path / "max").write_text(f"{limit}\n", encoding="ascii")
    monkeypatch.setattr(memory, "FREE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "LIMIT_OF_CONTAINER", tmp_path / "max")


@pytest.mark.parametrize(
    ("free", "limit", "gigabytes"),
    [
        ("MemAvailable: 4000000 kB", None, "4.1"),
        ("MemAvailable: 4000000 kB", "max", "4.1"),
        ("MemAvailable: 4000000 kB", "2000000000", "2.0"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: str, limit: str | None, gigabytes: str
) -> None:
    of_machine(tmp_path, monkeypatch, free, limit)
    with pytest.raises(DataError, match=f"^images take 5.0 GB of memory, and {gigabytes} GB are free; give fewer$"):
        require_memory(5 * 10**9, "images", instead="give fewer")
    require_memory(2 * 10**9, "images", instead="give fewer")


@pytest.mark.parametrize(("free", "limit"), [("nothing of the kind", None), ("MemAvailable: 4000000 kB", "?")])
def test_a_system_that_does_not_say_is_taken_to_have_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: str, limit: str | None
) -> None:
    of_machine(tmp_path, monkeypatch, free, limit)
    require_memory(10**15, "images", instead="give fewer")
