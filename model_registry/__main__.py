"""Register, promote, roll back, fetch and package bundles: ``python -m model_registry COMMAND --help``."""

import argparse
import json
import logging
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.bundle.manifest import NAME_PATTERN
from dragoman.bundle.store import MANIFEST, Bundle, open_bundle, open_unsigned
from dragoman.errors import BundleError, ConfigError, DataError, run_cli
from model_registry.command_line import NAMED, parser
from model_registry.versions.signing import sign_bundle, verify_bundle

if TYPE_CHECKING:
    from rich.console import Console

    from model_registry.gate.held_out import HeldOut
    from model_registry.gate.settings import GateSettings
    from model_registry.promotion.decision import ChampionChange
    from model_registry.promotion.promote import SettingsOf
    from model_registry.versions.registry import Registry
    from model_registry.versions.version import Version

# By name, since this module is called __main__ when it runs.
log = logging.getLogger("model_registry")


def main(arguments: list[str] | None = None) -> int:
    """Parse a command line and run it; returns the exit status."""
    options = parser().parse_args(arguments)
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
        print(f"no models are registered in {registry.place}; register one with: python -m model_registry register RUN")
        return 0
    # Versions of several tasks may stand in one table.
    metrics = list(dict.fromkeys(metric for version in versions for metric in version.scores))
    header = ("NAME", "VERSION", "BUNDLE", "ALIASES", *metrics, "RUN", "CREATED (UTC)")
    _print_table([header, *(_row(version, metrics) for version in versions)])
    return 0


def promote(options: argparse.Namespace) -> int:
    """``promote NAME VERSION``."""
    # What is wrong with files is told before MLflow is waited for.
    settings_of, held_out = _gate_settings(options), _held_out(options)
    from model_registry.promotion.promote import promote

    promotion = promote(_registry(options), options.name, options.version, settings_of, held_out)
    _show(promotion, as_json=options.json)
    return VERDICTS[promotion.verdict]


def compare(options: argparse.Namespace) -> int:
    """``compare CANDIDATE CHAMPION``."""
    settings_of, held_out = _gate_settings(options), _held_out(options)
    candidate, champion = bundle_directory(options.candidate), bundle_directory(options.champion)
    from model_registry.gate.comparison import compare_bundles
    from model_registry.promotion import report

    judgement = compare_bundles(candidate, champion, settings_of, held_out)
    if options.json:
        print(json.dumps(report.judgement_as_dict(judgement), indent=2, ensure_ascii=False))
    else:
        report.show_judgement(judgement, "candidate", "champion", _console())
        print(f"would be {judgement.verdict}: {judgement.reason}")
    return VERDICTS[judgement.verdict]


def rollback(options: argparse.Namespace) -> int:
    """``rollback NAME``."""
    registry = _registry(options)
    from model_registry.promotion.promote import rollback

    _show(rollback(registry, options.name, options.reason), as_json=False)
    return 0


def history(options: argparse.Namespace) -> int:
    """``history NAME``."""
    registry = _registry(options)
    from model_registry.promotion.promote import history

    decisions = history(registry, options.name)
    if options.json:
        print(json.dumps([{**asdict(one), "at": one.at.isoformat()} for one in decisions], indent=2))
        return 0
    rows = [
        (f"{one.at:%Y-%m-%d %H:%M:%S}", one.who, one.kind, one.candidate, one.champion, one.verdict, one.reason)
        for one in decisions
    ]
    header = ("WHEN (UTC)", "WHO", "WHAT", "VERSION", "CHAMPION", "VERDICT", "WHY")
    _print_table([header, *(tuple(cell or "-" for cell in row) for row in rows)])
    return 0


def fetch(options: argparse.Namespace) -> int:
    """``fetch NAME@ALIAS``."""
    registry, version = _found(options)
    bundle = registry.fetch(version, options.out)
    print(f"version: {version.reference}")
    print(f"bundle: {bundle.path}")
    return 0


def follow(options: argparse.Namespace) -> int:
    """``follow NAME@ALIAS --into DIR``."""
    name, found, alias = options.target.partition("@")
    if not (NAME_PATTERN.fullmatch(name) and found and alias):
        raise ConfigError(f"{options.target!r} is not NAME@ALIAS, as captions@champion is")
    from model_registry.versions.following import follow

    # An interrupt, which SIGTERM is as well, ends the waiting, and whatever is being fetched leaves nothing behind.
    follow(
        name,
        alias,
        options.into,
        every_s=options.every,
        tracking_uri=options.tracking_uri,
        wait=threading.Event().wait,
    )
    return 0


def package(options: argparse.Namespace) -> int:
    """``package NAME@ALIAS|BUNDLE``."""
    path = Path(options.target)
    bundle = open_bundle(bundle_directory(path)) if path.exists() else _fetched(options)
    from model_registry.packaging.bento import build_bento
    from model_registry.packaging.mar import build_mar

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
        # The key to be checked with is the one given, whatever key is configured.
        bundle_dir = bundle_directory(path) if path.exists() else _fetched(options, open_unsigned).path
        print(verify_bundle(bundle_dir, options.public_key))
    return 0


def webhook(options: argparse.Namespace) -> int:
    """``webhook --url URL --secret-file FILE``."""
    from model_registry.versions.webhooks import subscribe

    print(subscribe(options.tracking_uri, name=options.name, url=options.url, secret_file=options.secret_file))
    return 0


COMMANDS = {
    "register": register,
    "list": list_versions,
    "promote": promote,
    "compare": compare,
    "rollback": rollback,
    "history": history,
    "fetch": fetch,
    "follow": follow,
    "package": package,
    "sign": sign,
    "verify": verify,
    "webhook": webhook,
}
VERDICTS = {"promoted": 0, "rejected": 1, "undecided": 2}


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


def _registry(options: argparse.Namespace, *, create: bool = False) -> "Registry":
    # MLflow takes seconds to import: help and wrong command lines should not wait for it.
    from model_registry.versions.registry import Registry

    return Registry.open(options.tracking_uri, create=create)


def _found(options: argparse.Namespace) -> "tuple[Registry, Version]":
    name, selector = parse_reference(options.target)
    registry = _registry(options)
    return registry, registry.find(name, selector)


def _fetched(options: argparse.Namespace, opened: Callable[[Path], Bundle] = open_bundle) -> Bundle:
    registry, version = _found(options)
    return registry.fetch(version, options.out, opened)


def _gate_settings(options: argparse.Namespace) -> "SettingsOf":
    """Read the settings that were given, or those of the candidate's task once it is known."""
    from model_registry.gate.settings import load_settings, task_settings

    given = load_settings(options.gate) if options.gate else None

    def settings_of(task: str) -> "GateSettings":
        settings = given or task_settings(task)
        return replace(settings, mode=options.mode) if options.mode else settings

    return settings_of


def _held_out(options: argparse.Namespace) -> "HeldOut | None":
    from model_registry.gate.held_out import from_file, from_lines

    if (options.inputs is None) != (options.references is None):
        raise ConfigError("--inputs and --references belong together; give both or neither")
    if options.held_out and options.inputs:
        raise ConfigError("--held-out and --inputs are two ways of giving one set; give one of them")
    if options.held_out:
        return from_file(options.held_out)
    return from_lines(options.inputs, options.references) if options.inputs else None


def _console() -> "Console":
    from rich.console import Console

    from model_registry.promotion.report import WIDTH

    return Console(width=None if sys.stdout.isatty() else WIDTH)


def _show(promotion: "ChampionChange", *, as_json: bool) -> None:
    from model_registry.promotion import report

    if as_json:
        print(json.dumps(report.as_dict(promotion), indent=2, ensure_ascii=False))
        return
    report.show(promotion, _console())
    if promotion.changed and promotion.replaced is not None:
        print(f"previous: {promotion.replaced.reference} bundle {promotion.replaced.bundle_version}")


def _row(version: "Version", metrics: list[str]) -> tuple[str, ...]:
    cells = (
        version.name,
        str(version.number),
        version.bundle_version,
        ", ".join(version.aliases),
        *(version.scores.get(metric, "") for metric in metrics),
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
