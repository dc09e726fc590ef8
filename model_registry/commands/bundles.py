"""Commands that register bundles, list them, and give them to servers."""

import argparse
import logging
import math
import tempfile
import threading
from pathlib import Path

from dragoman.bundle.manifest import NAME_PATTERN
from dragoman.bundle.store import open_bundle, open_unsigned
from dragoman.errors import ConfigError
from model_registry.commands.base import (
    RUN_OR_BUNDLE,
    SELECTED,
    TARGET,
    argument,
    bundle_directory,
    command,
    find_version,
    local_or_fetched,
    open_registry,
    print_table,
)
from model_registry.versions.signing import sign_bundle, verify_bundle
from scoring.table import figure

log = logging.getLogger(__name__)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


# argparse says "invalid number of seconds value".
_seconds.__name__ = "number of seconds"


@command("make a bundle a version, and the candidate", RUN_OR_BUNDLE)
def register(options: argparse.Namespace) -> None:
    """Verify a bundle and make it a version of the model it names, with the alias candidate.

    The same bundle is the same version however often it is registered. Files go into the run that trained it, if that
    is in this store.
    """
    bundle = open_bundle(bundle_directory(options.path))
    version = open_registry(options, create=True).register(bundle)
    print(f"registered: {version.reference} bundle {version.bundle_version}")


@command("show the versions with their scores", argument("name", nargs="?", metavar="NAME", help="one model only"))
def list_(options: argparse.Namespace) -> None:
    """Show versions, newest first, with aliases and scores."""
    registry = open_registry(options)
    names = [options.name] if options.name else registry.names()
    versions = [version for name in names for version in registry.versions(name)]
    if not versions:
        print(f"no models are registered in {registry.place}; register one with: python -m model_registry register RUN")
        return
    scores = [registry.scores(version) for version in versions]
    # Versions of several tasks may stand in one table.
    metrics = list(dict.fromkeys(metric for found in scores for metric in found))
    rows = []
    for version, found in zip(versions, scores, strict=True):
        cells = [figure(metric, found[metric]) if metric in found else "" for metric in metrics]
        known = (version.name, str(version.number), version.bundle_version, ", ".join(version.aliases))
        rows.append((*known, *cells, version.run_id, f"{version.created:%Y-%m-%d %H:%M}"))
    print_table(("NAME", "VERSION", "BUNDLE", "ALIASES", *metrics, "RUN", "CREATED (UTC)"), rows)


@command(
    "download a bundle and verify it",
    argument("target", metavar="NAME@ALIAS", help=SELECTED),
    argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="parent directory (default: dist)"),
)
def fetch(options: argparse.Namespace) -> None:
    """Download a version's bundle to DIR/NAME-BUNDLEVERSION, verify every digest, and print where it is."""
    registry, version = find_version(options)
    bundle = registry.fetch(version, options.out)
    print(f"version: {version.reference}")
    print(f"bundle: {bundle.path}")


@command(
    "keep a directory at what an alias names, for servers that follow it",
    argument("target", metavar="NAME@ALIAS", help="captions@champion, or any other alias"),
    argument("--into", type=Path, required=True, metavar="DIR", help="the directory that the servers follow"),
    argument("--every", type=_seconds, default=15.0, metavar="SECONDS", help="between requests (default: %(default)g)"),
)
def follow(options: argparse.Namespace) -> None:
    """Poll the registry, fetch and verify each bundle that the alias names, and then point DIR/current.json to it.

    Servers started with DRAGOMAN_FOLLOW=DIR change over without losing a request. While the registry is out of reach,
    or a bundle is damaged, they stay with the last one that was verified. Ends with Ctrl-C or SIGTERM.
    """
    name, found, alias = options.target.partition("@")
    if not (NAME_PATTERN.fullmatch(name) and found and alias):
        raise ConfigError(f"{options.target!r} is not NAME@ALIAS, as captions@champion is")
    from model_registry.versions.following import follow

    # An interrupt, which SIGTERM is as well, ends the waiting; a bundle that is being fetched leaves nothing behind.
    wait = threading.Event().wait
    follow(name, alias, options.into, every_s=options.every, tracking_uri=options.tracking_uri, wait=wait)


@command(
    "build the TorchServe archive and the Bento",
    TARGET,
    argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="where to build (default: dist)"),
)
def package(options: argparse.Namespace) -> None:
    """Fetch and verify a bundle (or take one from disk) and build DIR/NAME-BUNDLEVERSION.mar and the Bento from it."""
    bundle = local_or_fetched(options, options.out)
    from model_registry.packaging.bento import build_bento
    from model_registry.packaging.mar import build_mar

    log.info("building the TorchServe archive")
    print(f"mar: {build_mar(bundle, options.out)}", flush=True)
    log.info("building the Bento")
    print(f"bento: {build_bento(bundle)}")


@command(
    "vouch for a bundle with a private key",
    RUN_OR_BUNDLE,
    argument("--private-key", type=Path, required=True, metavar="FILE", help="an elliptic-curve key in PEM form"),
)
def sign(options: argparse.Namespace) -> None:
    """Verify a bundle and write its signature, model.sig, beside the manifest.

    Register it afterwards, also when it is registered already: the version then gets the signature. Where
    DRAGOMAN_PUBLIC_KEY holds the absolute path of the public key, every command and server refuses what is not signed.
    """
    print(sign_bundle(bundle_directory(options.path), options.private_key))


@command(
    "check a bundle and who signed it",
    TARGET,
    argument("--public-key", type=Path, metavar="FILE", help="the signer's, PEM (default: $DRAGOMAN_PUBLIC_KEY)"),
)
def verify(options: argparse.Namespace) -> None:
    """Check every digest and the signature of a bundle, and print the signer's key.

    The exit status is 78 when the bundle is not signed, signed with another key, or altered.
    """
    with tempfile.TemporaryDirectory(prefix="dragoman-verify-") as folder:
        # The signature is checked with the key given here, whatever key is configured.
        bundle = local_or_fetched(options, Path(folder), open_unsigned)
        print(verify_bundle(bundle.path, options.public_key))


@command(
    "let MLflow tell a receiver when the champion moves",
    argument("name", nargs="?", default="dragoman-champion", metavar="NAME", help="(default: %(default)s)"),
    argument("--url", required=True, metavar="URL", help="where the receiver listens, ending in /events"),
    argument("--secret-file", type=Path, required=True, metavar="FILE", help="the secret, which the receiver has too"),
)
def webhook(options: argparse.Namespace) -> None:
    """Make a webhook in an MLflow server, or renew the one of this name, and let MLflow deliver a test event.

    It goes to `python -m deploy.events`, which must be running. The exit status is 69 when it does not arrive.
    """
    from model_registry.versions.webhooks import subscribe

    print(subscribe(options.tracking_uri, name=options.name, url=options.url, secret_file=options.secret_file))
