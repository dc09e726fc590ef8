"""``bentoml serve`` as a child process on a free port, ready when this returns."""

import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.run.commands import ROOT
from deploy.run.server_process import ServerProcess, answers_ok, free_port

READY_WITHIN_S = 60.0
ENVIRONMENT = {
    "BENTOML_DO_NOT_TRACK": "true",
    # The engine has its own workers; a pool of OpenMP threads in each of them would only fight the others.
    "OMP_NUM_THREADS": "1",
}


class BentoServer(ServerProcess):
    """A running BentoML server at ``url``; a context manager that stops it."""

    def __init__(
        self,
        target: str = ".",
        *,
        log: Path,
        directory: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Serve a Bento's tag, or with ``.`` the one packaged last, and wait until the model has answered once.

        Raises UnavailableError with the end of the log when the server does not become ready.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)],
            name=f"bentoml serve {target}",
            directory=directory,
            environment={**ENVIRONMENT, **(environment or {})},
            log=log,
        )
        self.wait_until(lambda: answers_ok(f"{self.url}/readyz"), within_s=READY_WITHIN_S)
