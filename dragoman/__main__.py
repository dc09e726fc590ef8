"""``python -m dragoman translate | info | verify``: use a bundle without any server."""

import argparse
import dataclasses
import sys
from collections.abc import Callable

from dragoman.atomic import to_json
from dragoman.bundle import open_bundle
from dragoman.errors import run_cli
from dragoman.translate_files import translate_files

EXIT_CODES = """
exit codes: 0 done, 64 wrong command line, 65 bad input, 70 the engine failed, 73 cannot write the output,
78 the bundle is missing or altered, 130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dragoman",
        description="Translate with a bundle, look into it, or check that not a byte of it has changed.",
        epilog=EXIT_CODES,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    translate = commands.add_parser(
        "translate",
        help="translate lines",
        description="Translate a text line by line, from standard input to standard output unless files are given.",
        epilog="example: echo 'Where is the station?' | python -m dragoman translate --bundle runs/demo/bundle"
        + EXIT_CODES,
    )
    translate.add_argument("--bundle", required=True, help="a bundle directory")
    translate.add_argument("--input", metavar="FILE", help="read lines from this UTF-8 file")
    translate.add_argument("--output", metavar="FILE", help="write lines to this file, whole or not at all")
    translate.add_argument("--engine", default="auto", help="auto, ctranslate2 or torch (default: auto)")
    translate.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    translate.add_argument("--num-beams", type=int, metavar="N", help="beam width (default: the bundle's)")
    translate.add_argument("--quiet", action="store_true", help="show no progress")
    translate.set_defaults(run=_translate)

    info = commands.add_parser("info", help="print the manifest without the file list", epilog=EXIT_CODES)
    info.add_argument("bundle", help="a bundle directory")
    info.set_defaults(run=_info)

    verify = commands.add_parser("verify", help="check every digest; exits with 78 on a difference", epilog=EXIT_CODES)
    verify.add_argument("bundle", help="a bundle directory")
    verify.set_defaults(run=_verify)
    return parser


def _translate(arguments: argparse.Namespace) -> None:
    translate_files(
        arguments.bundle,
        source=arguments.input,
        destination=arguments.output,
        engine=arguments.engine,
        device=arguments.device,
        num_beams=arguments.num_beams,
        show_progress=not arguments.quiet and sys.stderr.isatty(),
    )


def _info(arguments: argparse.Namespace) -> None:
    manifest = dataclasses.asdict(open_bundle(arguments.bundle).manifest)
    files = manifest.pop("files")
    manifest["size_bytes"] = sum(entry["bytes"] for entry in files)
    print(to_json(manifest), end="")


def _verify(arguments: argparse.Namespace) -> None:
    manifest = open_bundle(arguments.bundle).manifest
    print(f"{manifest.name} {manifest.version}: {len(manifest.files)} files verified, sha256:{manifest.digest}")


def main() -> None:
    """Parse the command line and run it."""

    def run() -> None:
        arguments = _parser().parse_args()
        command: Callable[[argparse.Namespace], None] = arguments.run
        command(arguments)

    run_cli(run)


if __name__ == "__main__":
    main()
