"""The command line of ``python -m model_registry``: the table of commands and the parser made from it."""

import argparse
import inspect
import textwrap

from model_registry.commands.bundles import fetch, follow, list_, package, register, sign, verify, webhook
from model_registry.commands.decisions import compare, history, promote, rollback

COMMANDS = (register, list_, promote, compare, rollback, history, fetch, follow, package, sign, verify, webhook)
EXAMPLES = """\
the way of a model:
  python -m model_registry register runs/demo               # one version per bundle, alias candidate
  python -m model_registry promote captions candidate           # if the gate lets it pass
  python -m model_registry history captions                     # every decision, with who, when and why
  python -m model_registry package captions@champion --out dist
  python -m model_registry rollback captions                    # the previous champion is back

see them in a browser:
  mlflow ui --backend-store-uri sqlite:///mlflow.db

exit status: 0 done, 1 the gate rejected the version, 2 the gate could not decide, 64 wrong command line or no such
model or version, 65 no such path or no items to judge on, 69 the MLflow store does not answer, 73 cannot write,
78 broken bundle
"""


class _Paragraphs(argparse.RawDescriptionHelpFormatter):
    """A formatter that fills paragraphs of one line and leaves blocks of several lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(block if "\n" in block else textwrap.fill(block, width) for block in text.split("\n\n"))


def main(arguments: list[str] | None = None) -> int:
    """Parse a command line and run it; return the exit status."""
    options = parser().parse_args(arguments)
    return next(command for command in COMMANDS if command.name == options.command).run(options) or 0


def parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m model_registry",
        description="Keep bundles as versions of a model in MLflow, and give the servers the best one.",
        epilog=EXAMPLES,
        formatter_class=_Paragraphs,
    )
    store = argparse.ArgumentParser(add_help=False)
    # It may stand before the command or after it, and the command must not forget what stood before.
    for place, default in ((parser, None), (store, argparse.SUPPRESS)):
        place.add_argument(
            "--tracking-uri",
            metavar="URI",
            default=default,
            help="the MLflow store: sqlite:///PATH, postgresql://… or http://HOST:PORT "
            "(default: $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db)",
        )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        paragraphs = inspect.cleandoc(command.run.__doc__ or "").split("\n\n")
        added = commands.add_parser(
            command.name,
            help=command.summary,
            description="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
            epilog=command.epilog,
            formatter_class=_Paragraphs,
            parents=[store],
        )
        for flags, settings in command.arguments:
            added.add_argument(*flags, **settings)
    return parser
