"""``python -m deploy.torchserve.probe``: exit with 0 if the TorchServe of this machine answers now.

For a container's health check and readiness: TorchServe's own /ping is healthy before the model is loaded, and when
its workers have failed. Works with token authorization too, of which the starter's directory holds the keys.

With ``--workers`` it only asks whether a worker has the model and the figures show no engine that fails. A full queue
refuses the probe's request too, and stopping the server for that, or sending its requests to the next one, would make
an outage of an overload. Where an engine has failed, the request is sent: nothing else shows that it works again.
"""

import argparse
import json
import tempfile
from pathlib import Path

from deploy.run.server_process import LOOPBACK
from deploy.torchserve.config import Ports
from deploy.torchserve.local_api import EXAMPLE_FILE, describe, figure, has_ready_worker, models, request
from deploy.torchserve.server import HOME_PREFIX
from dragoman.errors import UnavailableError, run_cli


def main() -> None:
    """Send the task's example, or ask for a worker that is ready; raises UnavailableError when there is none."""
    parser = argparse.ArgumentParser(prog="python -m deploy.torchserve.probe", description=__doc__)
    for name in ("inference", "management", "metrics"):
        default = getattr(Ports(), name)
        parser.add_argument(f"--{name}-port", type=int, default=default, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--within", type=float, default=4.0, metavar="SECONDS", help="(default: %(default)s)")
    parser.add_argument(
        "--workers", action="store_true", help="ask for a ready worker; send a request only where an engine failed"
    )
    arguments = parser.parse_args()
    home = max(Path(tempfile.gettempdir()).glob(f"{HOME_PREFIX}*"), key=lambda path: path.stat().st_mtime, default=None)
    if home is None:
        raise UnavailableError("no TorchServe has been started here")
    management = f"http://{LOOPBACK}:{arguments.management_port}"
    try:
        (model,) = models(management, home)
        if arguments.workers:
            if not has_ready_worker(describe(management, model, home)):
                raise UnavailableError(f"TorchServe has no worker that is ready for {model}")
            if figure(f"http://{LOOPBACK}:{arguments.metrics_port}/metrics", "dragoman_ready") != 0:
                return
        example = json.loads((home / EXAMPLE_FILE).read_text(encoding="utf-8"))
        url = f"http://{LOOPBACK}:{arguments.inference_port}/predictions/{model}"
        request(url, home, "inference", within_s=arguments.within, payload=example)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"TorchServe does not answer: {error}") from error


if __name__ == "__main__":
    run_cli(main)
