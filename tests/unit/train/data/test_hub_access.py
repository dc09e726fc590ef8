import socket
import time

import pytest

from dragoman.errors import UnavailableError
from train.config.compose import compose_config
from train.data import hub as hub_access
from train.data.hub import require_hub


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_a_hub_that_refuses_is_reported_with_what_to_give_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    config = compose_config(["data=wmt19"])
    with pytest.raises(
        UnavailableError, match=r"cannot reach http://127\.0\.0\.1:9 for wmt/wmt19 .*data\.path=DIRECTORY"
    ):
        config.data.read(config.task)


def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_access, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            require_hub("x", instead="y")
        assert time.monotonic() - began < 5


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    require_hub("x", instead="y")
