"""``python -m deploy.bento [TAG]``: serve a Bento, say when it is ready, and run until interrupted."""

import argparse
from pathlib import Path

from deploy.bento.server import BentoServer
from dragoman.errors import run_cli


def main() -> int:
    """Serve until the server ends or Ctrl-C comes; returns the server's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bento", description="Serve what was packaged, with BentoML."
    )
    parser.add_argument("target", nargs="?", default=".", help="a Bento's tag (default: what was packaged last)")
    parser.add_argument("--port", type=int, help="the port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--log", type=Path, default=Path("bentoml.log"), help="where the output goes (default: %(default)s)"
    )
    arguments = parser.parse_args()
    with BentoServer(arguments.target, log=arguments.log, port=arguments.port) as server:
        print(f"ready: {server.url}", flush=True)
        server.wait()
        return server.stop()


if __name__ == "__main__":
    run_cli(main)
