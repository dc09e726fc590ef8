"""``python -m deploy.torchserve --mar dist/NAME-VERSION.mar``: serve an archive until interrupted.

As process 1 of a container it lets TorchServe answer the requests in flight before it stops it.
"""

import argparse
import json
import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

from deploy.run.server_process import LOOPBACK
from deploy.torchserve.config import PORT_OPTIONS, Ports
from deploy.torchserve.front_end import configured_front_end
from deploy.torchserve.server import TorchServeProcess
from dragoman.errors import DataError, UnavailableError, run_cli
from dragoman.items.bodies import JSON_TYPE
from dragoman.tasks.base import task_class

# `--log -`: with the output of this process.
OWN_OUTPUT = Path("-")

READY = """\
TorchServe is ready; Ctrl-C stops it. Its log: {log}
  REST        {url}
  gRPC        {grpc_address}
  management  {management_url}
  metrics     {metrics_url}

try it:
  curl {url} -H 'Content-Type: {media_type}' {body}
  python -m deploy.torchserve.grpc_client --address {grpc_address} --model {model} --task {task} {item}
"""


def main() -> int:
    """Serve until Ctrl-C or SIGTERM, which is a clean end; raises UnavailableError when the server ends by itself."""
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    ports = Ports(**{name: getattr(arguments, name) for name in PORT_OPTIONS})
    log = None if arguments.log == OWN_OUTPUT else arguments.log
    try:
        mar = _archive(arguments.mar)
        front_end = configured_front_end(mar)
        if front_end is not None:
            print(f"on CUDA, in place of the numbers in the archive's model-config.yaml: {front_end}", flush=True)
        with TorchServeProcess(mar, log=log, ports=ports, host=arguments.host, front_end=front_end) as server:
            task = task_class(server.task)
            # The model's example, as words of a shell; or a file that its reader has.
            media_type, body, item = "application/octet-stream", "--data-binary @FILE", "FILE"
            if not task.takes_files:
                media_type, item = JSON_TYPE, shlex.quote(str(task.example_item))
                body = f"-d {shlex.quote(json.dumps(server.example, ensure_ascii=False))}"
            words = {"media_type": media_type, "body": body, "item": item, "log": log or "below"}
            print(READY.format(**{**vars(server), **words}), flush=True)
            try:
                server.wait()
            except KeyboardInterrupt:
                if not server.drain(arguments.drain_within):
                    busy_s = f"{arguments.drain_within:g} seconds"
                    print(f"workers still busy after {busy_s}; their requests are lost", file=sys.stderr)
                raise
            code = server.stop()
            raise UnavailableError(
                f"{server.name} ended with exit code {code}; the end of its log:\n{server.log_tail()}"
            )
    except KeyboardInterrupt:
        return 0


def _archive(path: Path) -> Path:
    """Return the archive, or the only one of a directory; raises DataError where there is none, or several."""
    if not path.is_dir():
        return path
    archives = sorted(path.glob("*.mar"))
    if len(archives) != 1:
        found = ", ".join(archive.name for archive in archives) or "none"
        raise DataError(f"{path} must hold one .mar, found {found}; give --mar the file, or a directory with one")
    return archives[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.torchserve", description="Serve a packaged model with TorchServe on this machine alone."
    )
    parser.add_argument(
        "--mar", type=Path, required=True, help="the archive, dist/NAME-VERSION.mar, or a directory that holds one"
    )
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        help="where REST, gRPC and metrics listen; management always listens on 127.0.0.1 (default: %(default)s)",
    )
    for name, option in PORT_OPTIONS.items():
        default = getattr(Ports(), name)
        parser.add_argument(option, dest=name, type=int, default=default, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--log", type=Path, default=Path("torchserve.log"), help="where the output goes, - for here (%(default)s)"
    )
    parser.add_argument(
        "--drain-within",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="when told to stop, wait as long as this for requests in flight to be answered (default: %(default)s)",
    )
    return parser.parse_args()


def _interrupt(number: int, frame: object) -> NoReturn:
    # A second Ctrl-C must not break off the stopping.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    run_cli(main)
