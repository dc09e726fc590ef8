"""Servers of these tests end at once, so that none waits for connections that nobody uses any more."""

from collections.abc import Iterator

import pytest

from deploy.run.bento import BentoServer
from deploy.torchserve.server import TorchServeProcess


@pytest.fixture(scope="session", autouse=True)
def quick_ends() -> Iterator[None]:
    """End a server without its seconds of quiet where a block ends; tests of the ending call ``stop`` themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for server in (BentoServer, TorchServeProcess):
            patch.setattr(server, "__exit__", lambda self, *_: self.stop(within_s=0))
        yield
