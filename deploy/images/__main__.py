"""``python -m deploy.images BUNDLE``: the images of both servers over a bundle, or over what NAME@ALIAS stands for.

With ``--all`` those of the registry and of training too, under the same tag: what compose and the manifests name. Every
command is shown as it is run; a user with Docker may run the printed ones by hand.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.images.base import BASE, ensure_base
from deploy.images.context import ROOT, Context, lay_out
from deploy.images.engine import Build, Engine
from deploy.images.labels import labels
from deploy.images.machine_settings import has_own_places, mounts, pip_settings
from dragoman.errors import run_cli

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
    engine = Engine.find(arguments.engine)
    context = lay_out(arguments.model, arguments.out)
    ensure_base(engine, arguments.base)
    names = arguments.only or ([*SERVERS, *TRAINING] if arguments.all else SERVERS)
    built = [build_server(engine, context, name, arguments.base) for name in names if name in SERVERS]
    built += [build_training(engine, context, name, arguments.base) for name in names if name in TRAINING]
    table = Table("image", "size", "above its base")
    for image in built:
        table.add_row(image.tag, megabytes(image.bytes), megabytes(image.above_base))
    Console(highlight=False).print(table)


def build_server(engine: Engine, context: Context, name: str, base: str = BASE) -> Built:
    """Build one of ``SERVERS`` from a laid-out folder; raises StepFailedError with the end of its log."""
    build = Build(
        dockerfile=ROOT / "deploy" / f"{name}.Dockerfile",
        context=context.path,
        tag=f"dragoman-{name}:{context.manifest.version}",
        labels=labels(name, context.manifest.version, context.manifest),
        arguments={"BASE": base},
    )
    return build_image(engine, build, log=context.path.with_name(f"{context.path.name}.{name}.log"))


def build_training(engine: Engine, context: Context, name: str, base: str = BASE) -> Built:
    """Build one of ``TRAINING`` from the repository, with the tag of the laid-out folder's bundle; raises as above."""
    build = Build(
        dockerfile=ROOT / "deploy" / "training.Dockerfile",
        context=ROOT,
        tag=f"dragoman-{name}:{context.manifest.version}",
        target=name,
        labels=labels(name, context.manifest.version),
        arguments={"BASE": base},
    )
    return build_image(engine, build, log=context.path.with_name(f"{context.path.name}.{name}.log"))


def build_image(engine: Engine, build: Build, *, log: Path) -> Built:
    """Build an image with what this machine lends to builds, and measure it; its base is the build argument BASE."""
    settings = pip_settings()
    # Where the machine names places of its own for packages, the CPU build of torch is there, or meant not to be.
    arguments = {**build.arguments, **({"TORCH_INDEX": ""} if has_own_places(settings) else {})}
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        engine.build(replace(build, arguments=arguments), mounts(settings, Path(folder)), log)
    return measured(engine, build.tag, arguments["BASE"])


def measured(engine: Engine, tag: str, base: str) -> Built:
    """An image that is here, with its size."""
    size = engine.size(tag)
    return Built(tag=tag, bytes=size, above_base=size - engine.size(base))


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
    parser.add_argument("--out", type=Path, default=OUT, help="where the build folders go (default: %(default)s)")
    return parser


def megabytes(size: int) -> str:
    """A size as container tools print it, in millions of bytes."""
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    run_cli(main)
