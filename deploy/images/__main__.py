"""``python -m deploy.images BUNDLE``: build the images of both servers over a bundle or NAME@ALIAS.

With ``--all`` those of the registry and of training too, under the same tag: the ones that compose and the manifests
name. Every command is shown as it is run; a user with Docker may run the printed ones by hand.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.images.base import BASE, ensure_base
from deploy.images.builds import OUT, SERVERS, TRAINING, build_image, image_build, megabytes
from deploy.images.context import lay_out
from deploy.images.engine import ContainerEngine
from dragoman.errors import ConfigError, run_cli


def main() -> None:
    """Build the images that were asked for, and show tags and sizes."""
    arguments = _parser().parse_args()
    for argument in arguments.build_arg:
        if "=" not in argument:
            raise ConfigError(f"--build-arg must be NAME=VALUE, got {argument!r}")
    given = {"BASE": arguments.base, **dict(argument.split("=", 1) for argument in arguments.build_arg)}
    engine = ContainerEngine.find(arguments.engine)
    context = lay_out(arguments.model, arguments.out)
    ensure_base(engine, given["BASE"])
    wanted = arguments.only or ([*SERVERS, *TRAINING] if arguments.all else SERVERS)
    table = Table("image", "size", "above its base")
    for name in [*SERVERS, *TRAINING]:
        if name in wanted:
            image = build_image(engine, image_build(context, name, given), context)
            table.add_row(image.tag, megabytes(image.bytes), megabytes(image.above_base))
    Console(highlight=False).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.images",
        description="Build the images dragoman-bento:VERSION and dragoman-torchserve:VERSION, and with --all "
        "dragoman-registry:VERSION and dragoman-training:VERSION.",
        epilog="exit codes: 0 built, 1 a step failed, 64 wrong command line or missing tool, 69 no base image",
    )
    parser.add_argument("model", help="a bundle directory, or NAME@champion of the registry")
    parser.add_argument("--only", action="append", choices=[*SERVERS, *TRAINING], help="this one; may be repeated")
    parser.add_argument("--all", action="store_true", help="those of the registry and of training too")
    parser.add_argument("--engine", choices=["docker", "buildah"], help="(default: docker if it runs, else buildah)")
    parser.add_argument("--base", default=BASE, help="the base image (default: %(default)s)")
    parser.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a build argument, EXTRA_PACKAGES or TORCH_INDEX for instance; may be repeated",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the build folders go (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run_cli(main)
