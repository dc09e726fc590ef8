"""``python -m deploy.images BUNDLE``: the images of both servers over a bundle, or over what NAME@ALIAS stands for.

With ``--all`` those of the registry and of training too, under the same tag: what compose and the manifests name. Every
command is shown as it is run; a user with Docker may run the printed ones by hand.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.images.base import BASE, ensure_base
from deploy.images.context import ROOT, Context, lay_out
from deploy.images.engine import Build, Engine
from deploy.images.labels import labels
from deploy.images.machine_settings import has_cpu_torch, mounts, pip_settings
from dragoman.errors import ConfigError, run_cli

OUT = Path("dist/images")
SERVERS = ("bento", "torchserve")
TRAINING = ("registry", "training")


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that was built, and how many bytes its files have, alone and beyond those of its base."""

    tag: str
    bytes: int
    above_base: int


def main() -> None:
    """Build what was asked for, and show tags and sizes."""
    arguments = _parser().parse_args()
    given = {"BASE": arguments.base, **_named(arguments.build_arg)}
    engine = Engine.find(arguments.engine)
    context = lay_out(arguments.model, arguments.out)
    ensure_base(engine, given["BASE"])
    names = arguments.only or ([*SERVERS, *TRAINING] if arguments.all else SERVERS)
    built = [build_image(engine, server_build(context, name, given), context) for name in names if name in SERVERS]
    built += [build_image(engine, training_build(context, name, given), context) for name in names if name in TRAINING]
    table = Table("image", "size", "above its base")
    for image in built:
        table.add_row(image.tag, megabytes(image.bytes), megabytes(image.above_base))
    Console(highlight=False).print(table)


def server_build(context: Context, name: str, arguments: Mapping[str, str]) -> Build:
    """How one of ``SERVERS`` is built from a laid-out folder."""
    return Build(
        dockerfile=ROOT / "deploy" / f"{name}.Dockerfile",
        context=context.path,
        tag=f"dragoman-{name}:{context.manifest.version}",
        labels=labels(name, context.manifest.version, context.manifest),
        arguments=arguments,
    )


def training_build(context: Context, name: str, arguments: Mapping[str, str]) -> Build:
    """How one of ``TRAINING`` is built from the repository, with the tag of the laid-out folder's bundle."""
    return Build(
        dockerfile=ROOT / "deploy" / "training.Dockerfile",
        context=ROOT,
        tag=f"dragoman-{name}:{context.manifest.version}",
        target=name,
        labels=labels(name, context.manifest.version),
        arguments=arguments,
    )


def build_image(engine: Engine, build: Build, context: Context) -> Built:
    """Build an image with what this machine lends to builds, and measure it; its base is the build argument BASE.

    Raises StepFailedError with the end of its log, which lies beside the laid-out folder.
    """
    settings, arguments = pip_settings(), dict(build.arguments)
    # Docker is lent no folder of wheels.
    if engine.program == "buildah" and has_cpu_torch(settings):
        arguments.setdefault("TORCH_INDEX", "")
    log = context.path.with_name(f"{context.path.name}.{build.tag.partition(':')[0]}.log")
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        engine.build(replace(build, arguments=arguments), mounts(settings, Path(folder)), log)
    return measured(engine, build.tag, arguments["BASE"])


def measured(engine: Engine, tag: str, base: str) -> Built:
    """An image that is here, with its size."""
    size = engine.size(tag)
    return Built(tag=tag, bytes=size, above_base=size - engine.size(base))


def _named(arguments: Sequence[str]) -> dict[str, str]:
    for argument in arguments:
        if "=" not in argument:
            raise ConfigError(f"--build-arg must be NAME=VALUE, got {argument!r}")
    return dict(argument.split("=", 1) for argument in arguments)


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


def megabytes(size: int) -> str:
    """A size as container tools print it, in millions of bytes."""
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    run_cli(main)
