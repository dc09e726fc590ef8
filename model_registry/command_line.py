"""What ``python -m model_registry`` accepts, and the help that teaches it."""

import argparse
import math
from pathlib import Path

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
NAMED = "NAME@ALIAS (captions@champion) or NAME/VERSION (captions/3)"


GATE = """Let a version and the champion answer the same held-out items as they are served, and make the version
champion if it passes: first the guards (the task's own, batch invariance, latency, size), then the paired bootstrap
interval of the difference in the task's metric against a margin. A first champion needs the floor that the settings
ask for. The old champion becomes previous. Settings are the section gate: of configs/task/TASK.yaml.

Items are the test sets of the training run that made the version, if they were held out for the champion as well, or
the files given. Held-out means: neither trained on nor chosen by; the gate can check that only for its own runs.
Every decision is kept: see history, the run in MLflow, and the version's tags."""
GATE_EXAMPLES = """examples:
  python -m model_registry promote captions candidate
  python -m model_registry promote captions candidate --mode superiority
  python -m model_registry promote captions 7 --held-out fresh.parquet
  python -m model_registry promote captions 7 --inputs news.txt.gz --references expected.txt.gz
  python -m model_registry promote captions candidate --gate configs/strict.yaml --json

exit status: 0 promoted (or champion already), 1 rejected, 2 undecided: the interval is wider than the margin, and the
last line says how many more items would do"""


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m model_registry",
        description="Keep bundles as versions of a model in MLflow, and give the servers the best one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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

    def add(name: str, summary: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=text, parents=[store])

    command = add(
        "register",
        "make a bundle a version, and the candidate",
        "Verify a bundle and make it a version of the model it names; alias candidate. The same bundle is the same "
        "version however often it is registered. Files go into the run that trained it, if that is in this store.",
    )
    command.add_argument("path", type=Path, metavar="RUN_OR_BUNDLE", help="runs/ID, or a bundle directory")

    command = add(
        "list", "show the versions with their scores", "Show versions, newest first, with aliases and scores."
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="one model only")

    _add_promote(add("promote", "make a version champion, if it is good enough", GATE))

    _add_compare(
        add(
            "compare",
            "what the gate would say of two bundles",
            "Put two bundles or runs on disk through the gate as promote does, on the held-out sets in the first one's "
            "run directory or on the files given. Changes and records nothing. Exit status as for promote.",
        )
    )

    command = add(
        "rollback",
        "make the previous champion champion again",
        "Swap champion and previous, after verifying the bundle that comes back. Twice is as never.",
    )
    command.add_argument("name", metavar="NAME", help="the model, as list shows it")
    command.add_argument("--reason", default="no reason given", metavar="TEXT", help="why, for the history")

    command = add(
        "history",
        "show every decision of the gate and every rollback",
        "Show who promoted, rejected or rolled back what, when and why, newest first.",
    )
    command.add_argument("name", metavar="NAME", help="the model, as list shows it")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")

    command = add(
        "fetch",
        "download a bundle and verify it",
        "Download a version's bundle to DIR/NAME-BUNDLEVERSION, verify every digest, and print where it is.",
    )
    command.add_argument("target", metavar="NAME@ALIAS", help=NAMED)
    command.add_argument(
        "--out", type=Path, default=Path("dist"), metavar="DIR", help="parent directory (default: dist)"
    )

    command = add(
        "follow",
        "keep a directory at what an alias names, for servers that follow it",
        "Ask the registry again and again, fetch and verify each bundle that the alias names, and only then let "
        "DIR/current.json point to it. Servers started with DRAGOMAN_FOLLOW=DIR change over without losing a request. "
        "While the registry is out of reach, or a bundle is damaged, they stay with the last one that was verified. "
        "Ends with Ctrl-C or SIGTERM.",
    )
    command.add_argument("target", metavar="NAME@ALIAS", help="captions@champion, or any other alias")
    command.add_argument("--into", type=Path, required=True, metavar="DIR", help="what the servers follow")
    command.add_argument(
        "--every", type=_seconds, default=15.0, metavar="SECONDS", help="between two questions (default: %(default)g)"
    )

    command = add(
        "package",
        "build the TorchServe archive and the Bento",
        "Fetch and verify a bundle (or take one from disk) and build DIR/NAME-BUNDLEVERSION.mar and the Bento from it.",
    )
    command.add_argument("target", metavar="NAME@ALIAS|BUNDLE", help=f"{NAMED}, or a bundle or run directory")
    command.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="where to build (default: dist)")

    command = add(
        "sign",
        "vouch for a bundle with a private key",
        "Verify a bundle and write its signature, model.sig, beside the manifest. Register it afterwards, also when it "
        "is registered already: the version then gets the signature. Where DRAGOMAN_PUBLIC_KEY holds the absolute path "
        "of the public key, every command and server refuses what is not signed.",
    )
    command.add_argument("path", type=Path, metavar="RUN_OR_BUNDLE", help="runs/ID, or a bundle directory")
    command.add_argument(
        "--private-key", type=Path, required=True, metavar="FILE", help="an elliptic-curve key in PEM form"
    )

    command = add(
        "verify",
        "check a bundle and who signed it",
        "Check every digest and the signature of a bundle, and print the signer's key. Exit status 78 when it is not "
        "signed, signed with another key, or altered.",
    )
    command.add_argument("target", metavar="NAME@ALIAS|BUNDLE", help=f"{NAMED}, or a bundle or run directory")
    command.add_argument(
        "--public-key", type=Path, metavar="FILE", help="the signer's key in PEM form (default: $DRAGOMAN_PUBLIC_KEY)"
    )

    command = add(
        "webhook",
        "let MLflow tell a receiver when the champion moves",
        "Make a webhook in an MLflow server, or renew the one of this name, and let MLflow deliver a test event to "
        "`python -m deploy.events`, which must be running. Exit status 69 when the test event does not arrive.",
    )
    command.add_argument("name", nargs="?", default="dragoman-champion", metavar="NAME", help="(default: %(default)s)")
    command.add_argument("--url", required=True, metavar="URL", help="where the receiver listens, ending in /events")
    command.add_argument(
        "--secret-file", type=Path, required=True, metavar="FILE", help="the secret that the receiver has as well"
    )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


# What argparse calls it when it refuses a value.
_seconds.__name__ = "number of seconds"


def _add_promote(command: argparse.ArgumentParser) -> None:
    command.formatter_class, command.epilog = argparse.RawDescriptionHelpFormatter, GATE_EXAMPLES
    command.add_argument("name", metavar="NAME", help="the model, as list shows it")
    command.add_argument("version", metavar="VERSION", help="a number, an alias (candidate) or a bundle version")
    _add_gate_options(command)


def _add_compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("candidate", type=Path, metavar="CANDIDATE", help="a run or bundle directory")
    command.add_argument("champion", type=Path, metavar="CHAMPION", help="the one that it is held against")
    _add_gate_options(command)


def _add_gate_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--gate", type=Path, metavar="FILE", help="the gate's settings (default: those of the task)")
    command.add_argument(
        "--mode", choices=("non_inferiority", "superiority"), help="what passes (default: mode in the gate's settings)"
    )
    command.add_argument(
        "--held-out", type=Path, metavar="FILE", help="a held-out set: Parquet with the columns id, input and reference"
    )
    command.add_argument("--inputs", type=Path, metavar="FILE", help="or its inputs as text, one a line, plain or .gz")
    command.add_argument("--references", type=Path, metavar="FILE", help="and what is expected, line by line")
    command.add_argument("--json", action="store_true", help="print the decision as JSON instead of tables")
