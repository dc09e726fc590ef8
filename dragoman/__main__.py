"""``python -m dragoman run | info | verify``: use a bundle without any server."""

import argparse
import dataclasses
import json
import sys
from typing import Any

from dragoman.atomic import to_json
from dragoman.bundle.signature import PUBLIC_KEY_VARIABLE, SIGNATURE, configured_public_key
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, run_cli
from dragoman.run_inputs import run_inputs

EXIT_CODES = """
exit codes: 0 done, 64 wrong command line or key, 65 bad input, 70 the engine failed, 73 cannot write the output,
78 the bundle is missing, altered, or not signed as the environment variable DRAGOMAN_PUBLIC_KEY demands (the absolute
path of a PEM file), 130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dragoman",
        description="Answer with a bundle, look into it, or check that not a byte of it has changed.",
        epilog=EXIT_CODES,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="answer lines, or files",
        description="Answer a text line by line, from standard input to standard output unless files are given. An "
        "output is written as one line of text in the form of its task: a text as it is, a label with its probability "
        "behind a tab, anything else as JSON. A task whose inputs are files takes files and folders, and writes each "
        "file's name before its output.",
        epilog="example: echo 'Where is the station?' | python -m dragoman run --bundle runs/demo/bundle" + EXIT_CODES,
    )
    run.add_argument("--bundle", required=True, help="a bundle directory")
    run.add_argument(
        "--input",
        nargs="+",
        default=[],
        metavar="FILE",
        help="read lines from this UTF-8 file, plain or .gz; or these files and all in these folders, by name",
    )
    run.add_argument("--output", metavar="FILE", help="write lines to this file, whole or not at all")
    run.add_argument("--engine", default="auto", help="auto, or an engine of the bundle's task (default: auto)")
    run.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a further field of the request that each input becomes, as the servers take it (max_new_tokens=40)",
    )
    run.add_argument(
        "--jsonl",
        action="store_true",
        help="write every output whole, as a line of JSON; null where there is none; of a file as an object, with "
        "its name",
    )
    run.add_argument("--quiet", action="store_true", help="show no progress")
    run.set_defaults(run=_run)

    info = commands.add_parser("info", help="print the manifest without the file list", epilog=EXIT_CODES)
    info.add_argument("bundle", help="a bundle directory")
    info.set_defaults(run=_info)

    verify = commands.add_parser(
        "verify", help="check every digest, and the signature; exits with 78 on a difference", epilog=EXIT_CODES
    )
    verify.add_argument("bundle", help="a bundle directory")
    verify.set_defaults(run=_verify)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    parameters: dict[str, Any] = {}
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE, got {text!r}")
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value
    run_inputs(
        arguments.bundle,
        sources=arguments.input,
        destination=arguments.output,
        engine=arguments.engine,
        device=arguments.device,
        parameters=parameters,
        as_json=arguments.jsonl,
        show_progress=not arguments.quiet and sys.stderr.isatty(),
    )


def _info(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(arguments.bundle)
    manifest = dataclasses.asdict(bundle.manifest)
    files = manifest.pop("files")
    manifest["size_bytes"] = sum(entry["bytes"] for entry in files)
    manifest["signature"] = _signature(bundle)
    print(to_json(manifest), end="")


def _verify(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(arguments.bundle)
    manifest = bundle.manifest
    print(f"{manifest.name} {manifest.version}: {len(manifest.files)} files verified, sha256:{manifest.digest}")
    print(f"signature: {_signature(bundle)}")


def _signature(bundle: Bundle) -> str:
    """Describe the signature of an opened bundle; where a key is configured, opening has verified it."""
    key = configured_public_key()
    if key is not None:
        return f"verified with {key}"
    return f"not checked, since {PUBLIC_KEY_VARIABLE} names no key" if (bundle.path / SIGNATURE).exists() else "none"


def main() -> None:
    """Parse the command line and run it."""

    def run() -> None:
        arguments = _parser().parse_args()
        arguments.run(arguments)

    run_cli(run)


if __name__ == "__main__":
    main()
