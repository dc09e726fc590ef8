"""``python -m deploy.events``: listen for MLflow's webhooks, and build, test and publish each new champion."""

import argparse
import os
import socket
from datetime import datetime
from pathlib import Path

import uvicorn

from deploy.events.app import Receiver, application
from deploy.events.builder import FIRST_PAUSE_S, LONGEST_PAUSE_S, SERVER_TRIES, Builder
from deploy.events.journal import Journal
from deploy.events.signature import MAX_AGE_LIMIT_S
from dragoman.errors import ConfigError, run_cli
from dragoman.http.webhook import MIN_SECRET_BYTES

SECRET_VARIABLE = "DRAGOMAN_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
EXAMPLES = f"""\
a secret, the receiver, and MLflow's side of it:
  openssl rand -hex 32 > webhook.secret
  python -m deploy.events --secret-file webhook.secret --tracking-uri http://127.0.0.1:5000
  python -m model_registry webhook --url http://127.0.0.1:8090/events --secret-file webhook.secret

MLflow delivers to public https addresses only, unless its server runs with MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https
and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true. Only with MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY does that server know the
secret after a restart and in all its workers. For deliveries from another machine, put a TLS proxy before this one.

The secret is read from the file or from {SECRET_VARIABLE}. Outcomes: GET /events, and one JSON file each in the
state directory. An event that was accepted survives any end of the receiver. While MLflow is out of reach it waits and
is tried again, after {FIRST_PAUSE_S:g} seconds at first and {LONGEST_PAUSE_S:g} at most; the same,
but for {SERVER_TRIES} attempts only, where a server does not start for the conformance suite. Any other failure is
final: repair its cause, then set the alias champion once more.

exit status: 64 wrong command line, secret or port, 65 damaged state, 73 cannot write, 130 interrupted, 143 terminated
"""


def main() -> None:
    """Serve until interrupted or terminated."""
    options = _parser().parse_args()
    secret = _secret(options.secret_file)
    # So written that it holds for nan as well.
    if not 0 < options.max_age <= MAX_AGE_LIMIT_S:
        raise ConfigError(
            f"--max-age must be above 0 and at most {MAX_AGE_LIMIT_S:g} seconds, got {options.max_age:g}; older "
            "deliveries are forgotten, so that they could be repeated unseen"
        )

    def report(line: str) -> None:
        print(f"{datetime.now():%H:%M:%S} {line}", flush=True)

    environment = {"MLFLOW_TRACKING_URI": options.tracking_uri} if options.tracking_uri else {}
    state = options.state.resolve()
    with Journal(state) as journal, _listen(options.host, options.port) as listener:
        builder = Builder(journal, out=options.out, work=state / "work", environment=environment, report=report)
        receiver = Receiver(journal, secret, options.max_age, lambda: builder.is_running, report)
        # One access line a probe would drown the events.
        config = uvicorn.Config(application(receiver), log_level="warning", server_header=False)
        host, port = listener.getsockname()[:2]
        report(f"listening on http://{host}:{port}/events, state in {state}, artifacts to {options.out}")
        builder.start()
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            builder.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.events",
        description="Receive MLflow's registry events. When the alias champion of a model moves: fetch the bundle, run "
        "the conformance suite on it, and if it passes package it for both servers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help=f"the shared secret (or {SECRET_VARIABLE})")
    parser.add_argument("--tracking-uri", metavar="URI", help="the MLflow server (default: $MLFLOW_TRACKING_URI)")
    parser.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="for archives (default: dist)")
    parser.add_argument(
        "--state", type=Path, default=Path("runs/events"), metavar="DIR", help="events, logs (default: runs/events)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--max-age",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help=f"oldest delivery, up to {MAX_AGE_LIMIT_S:g} (default: %(default)g)",
    )
    return parser


def _secret(path: Path | None) -> bytes:
    # Neither the commands nor the servers that they start have any use for it.
    given = os.environ.pop(SECRET_VARIABLE, "").encode()
    try:
        secret = path.read_bytes().strip() if path else given
    except OSError as error:
        raise ConfigError(f"cannot read the secret in {path}: {error.strerror or error}") from error
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"the secret must have at least {MIN_SECRET_BYTES} bytes, got {len(secret)}; make one with "
            f"`openssl rand -hex 32` and give it in --secret-file or {SECRET_VARIABLE}"
        )
    return secret


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=128)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error}; choose another --host or --port") from error


if __name__ == "__main__":
    run_cli(main)
