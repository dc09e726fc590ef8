"""Servers of these tests end at once, so that none waits for connections that nobody uses any more."""

from collections.abc import Iterator

import pytest

from deploy.torchserve.server import TorchServeProcess


@pytest.fixture(scope="session", autouse=True)
def quick_ends() -> Iterator[None]:
    """End TorchServe without its seconds of quiet where a block ends; tests of the ending run its command.

    Not Bento's server: its workers are in sessions of their own, and it alone ends them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchServeProcess, "__exit__", lambda self, *_: self.stop(within_s=0))
        yield
