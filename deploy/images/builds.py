"""The builds of our four images and of BentoML's own, with the labels that say where an image comes from."""

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deploy.images.base import BASE
from deploy.images.context import BuildContext
from deploy.images.engine import Build, ContainerEngine, isolation, run_logged
from deploy.images.machine_settings import has_cpu_torch, mounts, pip_settings
from deploy.run.commands import ROOT
from dragoman.bundle.manifest import Manifest
from dragoman.checkout import git_commit

OUT = Path("dist/images")
SERVERS = ("bento", "torchserve")
TRAINING = ("registry", "training")
TITLES = {
    "bento": "Dragoman: a model served by BentoML",
    "torchserve": "Dragoman: a model served by TorchServe",
    "registry": "Dragoman: MLflow server and registry commands",
    "training": "Dragoman: training and search",
}


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that was built, with the bytes of its files, alone and beyond those of its base."""

    tag: str
    bytes: int
    above_base: int


def image_build(context: BuildContext, name: str, arguments: Mapping[str, str]) -> Build:
    """Describe the build of an image: a server's from the laid-out folder, another from the repository."""
    manifest, is_server = context.manifest, name in SERVERS
    return Build(
        dockerfile=ROOT / "deploy" / f"{name if is_server else 'training'}.Dockerfile",
        context=context.path if is_server else ROOT,
        tag=f"dragoman-{name}:{manifest.version}",
        target=None if is_server else name,
        labels=labels(name, manifest.version, manifest if is_server else None),
        arguments=arguments,
    )


def build_image(engine: ContainerEngine, build: Build, context: BuildContext) -> Built:
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
    return _measured(engine, build.tag, arguments["BASE"])


def build_standard(engine: ContainerEngine, bento: str, store: Path, tag: str, log: Path) -> Built:
    """Build BentoML's own image of a Bento by ``bentoml containerize``; raises StepFailedError with the log's end."""
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        environment = {"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "true"}
        options = []
        if engine.program == "buildah":
            settings = Path(folder, "containers.conf")
            # Not by options of BentoML's, which runs several volumes together into one.
            # A JSON list is one of TOML's too.
            lent = json.dumps(mounts(pip_settings(), Path(folder)))
            settings.write_text(f"[containers]\nvolumes = {lent}\n", "utf-8")
            # Docker's format, since the other one drops instructions that it does not know.
            environment |= {"BUILDAH_FORMAT": "docker", "CONTAINERS_CONF": str(settings)}
            if isolation():
                environment["BUILDAH_ISOLATION"] = "chroot"
            options = ["--opt", "pull-never", "--opt", "network=host"]
        command = [sys.executable, "-m", "bentoml", "containerize", bento, "-t", tag, "--backend", engine.program]
        run_logged([*command, *options], log, environment)
    return _measured(engine, tag, BASE)


def _measured(engine: ContainerEngine, tag: str, base: str) -> Built:
    size = engine.size(tag)
    return Built(tag=tag, bytes=size, above_base=size - engine.size(base))


def labels(image: str, version: str, manifest: Manifest | None = None) -> dict[str, str]:
    """Return the OCI annotations, and ``dragoman.*`` for a bundle; an unknown value gets no label."""
    found = {
        "org.opencontainers.image.title": TITLES[image],
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": git_commit(ROOT),
        "org.opencontainers.image.created": datetime.now(UTC).isoformat(timespec="seconds"),
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    if manifest:
        found |= {
            "dragoman.bundle.name": manifest.name,
            "dragoman.bundle.task": manifest.task,
            "dragoman.bundle.version": manifest.version,
            "dragoman.bundle.digest": manifest.digest,
            "dragoman.mlflow.run_id": manifest.provenance.mlflow_run_id,
            "dragoman.training.commit": manifest.provenance.git_commit,
        }
    return {name: value for name, value in found.items() if value}


def megabytes(size: int) -> str:
    """Format a size as container tools print it, in millions of bytes."""
    return f"{size / 1e6:.0f} MB"
