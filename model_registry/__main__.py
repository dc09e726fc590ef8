"""Register, promote, roll back, fetch and package bundles: ``python -m model_registry COMMAND --help``."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.bundle import MANIFEST, Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError, DataError, run_cli
from model_registry.signing import sign_bundle, verify_bundle

if TYPE_CHECKING:
    from model_registry.client import Promotion, Registry
    from model_registry.versions import Version

# By name, since this module is called __main__ when it runs.
log = logging.getLogger("model_registry")

EXAMPLES = """\
the way of a model:
  python -m model_registry register runs/demo               # one version per bundle, alias candidate
  python -m model_registry promote translation-en-de candidate
  python -m model_registry package translation-en-de@champion --out dist
  python -m model_registry rollback translation-en-de       # the previous champion is back

see them in a browser:
  mlflow ui --backend-store-uri sqlite:///mlflow.db

exit status: 0 done, 1 the gate rejected the version, 64 wrong command line or no such model or version,
65 no such path, 69 the MLflow store does not answer, 73 cannot write, 78 broken bundle
"""
NAMED = "NAME@ALIAS (translation-en-de@champion) or NAME/VERSION (translation-en-de/3)"


def main(arguments: list[str] | None = None) -> int:
    """Parse a command line and run it; returns the exit status."""
    options = _parser().parse_args(arguments)
    return COMMANDS[options.command](options)


def register(options: argparse.Namespace) -> int:
    """``register RUN_OR_BUNDLE``."""
    bundle = open_bundle(bundle_directory(options.path))
    version = _registry(options, create=True).register(bundle)
    print(f"registered: {version.reference} bundle {version.bundle_version}")
    return 0


def list_versions(options: argparse.Namespace) -> int:
    """``list [NAME]``."""
    registry = _registry(options)
    names = [options.name] if options.name else registry.names()
    versions = [version for name in names for version in registry.versions(name)]
    if not versions:
        print(f"no models are registered in {registry.uri}; register one with: python -m model_registry register RUN")
        return 0
    header = ("NAME", "VERSION", "BUNDLE", "ALIASES", "chrF", "BLEU", "RUN", "CREATED (UTC)")
    _print_table([header, *(_row(version) for version in versions)])
    return 0


def promote(options: argparse.Namespace) -> int:
    """``promote NAME VERSION``."""
    promotion = _registry(options).promote(options.name, options.version)
    if not promotion.verdict.accepted:
        print(f"rejected: {promotion.version.reference}: {promotion.verdict.reason}", file=sys.stderr)
        return 1
    _print_champion(promotion)
    return 0


def rollback(options: argparse.Namespace) -> int:
    """``rollback NAME``."""
    _print_champion(_registry(options).rollback(options.name))
    return 0


def fetch(options: argparse.Namespace) -> int:
    """``fetch NAME@ALIAS``."""
    print(f"bundle: {_fetched(options).path}")
    return 0


def package(options: argparse.Namespace) -> int:
    """``package NAME@ALIAS|BUNDLE``."""
    path = Path(options.target)
    bundle = open_bundle(bundle_directory(path)) if path.exists() else _fetched(options)
    from model_registry.bento import build_bento
    from model_registry.mar import build_mar

    log.info("building the TorchServe archive")
    print(f"mar: {build_mar(bundle, options.out)}", flush=True)
    log.info("building the Bento")
    print(f"bento: {build_bento(bundle)}")
    return 0


def sign(options: argparse.Namespace) -> int:
    """``sign RUN_OR_BUNDLE``."""
    print(sign_bundle(bundle_directory(options.path), options.private_key))
    return 0


def verify(options: argparse.Namespace) -> int:
    """``verify NAME@ALIAS|BUNDLE``."""
    path = Path(options.target)
    with tempfile.TemporaryDirectory(prefix="dragoman-verify-") as folder:
        options.out = Path(folder)
        bundle_dir = bundle_directory(path) if path.exists() else _fetched(options).path
        print(verify_bundle(bundle_dir, options.public_key))
    return 0


COMMANDS = {
    "register": register,
    "list": list_versions,
    "promote": promote,
    "rollback": rollback,
    "fetch": fetch,
    "package": package,
    "sign": sign,
    "verify": verify,
}


def bundle_directory(path: Path) -> Path:
    """The bundle that a path means: itself, or the one of a training run; raises DataError or BundleError."""
    if not path.exists():
        raise DataError(f"{path} does not exist; give a directory of runs/ or a bundle")
    if (path / MANIFEST).exists():
        return path
    if (path / "bundle").is_dir():
        return path / "bundle"
    if (path / "checkpoints").is_dir() or (path / "mlflow.json").exists():
        raise BundleError(f"the run {path} has no bundle yet; let it end with: python -m train resume={path}")
    raise DataError(f"{path} is neither a run nor a bundle: it has no {MANIFEST} and no bundle/{MANIFEST}")


def parse_reference(target: str) -> tuple[str, str]:
    """Split ``NAME@ALIAS`` or ``NAME/VERSION``; raises ConfigError, or DataError for what is rather a path."""
    for separator in "@/":
        name, found, selector = target.partition(separator)
        if name and found and selector and "/" not in selector:
            if separator == "/" and Path(name).is_dir():
                raise DataError(f"{target} does not exist; give a bundle directory, or {NAMED}")
            return name, selector
    raise ConfigError(f"{target!r} is neither a bundle directory nor {NAMED}")


def _parser() -> argparse.ArgumentParser:
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

    command = add(
        "promote",
        "make a version champion, if it is good enough",
        "Fetch and verify a version's bundle and make it champion unless its chrF is below the champion's on the same "
        "test set; the old champion becomes previous. Exit status 1 and the two scores when it is rejected.",
    )
    command.add_argument("name", metavar="NAME", help="the model, as list shows it")
    command.add_argument("version", metavar="VERSION", help="a number, an alias (candidate) or a bundle version")

    command = add(
        "rollback",
        "make the previous champion champion again",
        "Swap champion and previous, after verifying the bundle that comes back. Twice is as never.",
    )
    command.add_argument("name", metavar="NAME", help="the model, as list shows it")

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
    return parser


def _registry(options: argparse.Namespace, *, create: bool = False) -> "Registry":
    # MLflow takes seconds to import: help and wrong command lines should not wait for it.
    from model_registry.client import Registry

    return Registry.open(options.tracking_uri, create=create)


def _fetched(options: argparse.Namespace) -> Bundle:
    name, selector = parse_reference(options.target)
    registry = _registry(options)
    return registry.fetch(registry.find(name, selector), options.out)


def _print_champion(promotion: "Promotion") -> None:
    print(
        f"champion: {promotion.version.reference} bundle {promotion.version.bundle_version}: {promotion.verdict.reason}"
    )
    if promotion.changed and promotion.replaced is not None:
        print(f"previous: {promotion.replaced.reference} bundle {promotion.replaced.bundle_version}")


def _row(version: "Version") -> tuple[str, ...]:
    cells = (
        version.name,
        str(version.number),
        version.bundle_version,
        ", ".join(version.aliases),
        version.scores.get("chrF", ""),
        version.scores.get("BLEU", ""),
        version.run_id,
        f"{version.created:%Y-%m-%d %H:%M}",
    )
    return tuple(cell or "-" for cell in cells)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show_progress() -> None:
    # Ours only: the information of all libraries would drown it.
    logger = logging.getLogger("model_registry")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())


if __name__ == "__main__":
    _show_progress()
    run_cli(main)
