"""What the gate says in four cases whose answer is known: ``python -m benchmarks.studies.gate_verdicts --help``.

Every step is the command a user would type, against an MLflow store of its own.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers.base import ROOT
from deploy.run.commands import run_command
from dragoman.bundle.store import open_bundle
from dragoman.errors import run_cli

VERDICTS = (0, 1, 2)
SETTINGS = ROOT / "configs" / "task" / "translation.yaml"
# What the gate must say. A seed is neither better nor worse by construction: promoted here means not inferior.
EXPECTED = {
    "the first champion, trained too short": ("promoted",),
    "a clearly better model": ("promoted",),
    "a copy of the champion with 5 % of its weights noised": ("rejected",),
    "another seed of the champion's configuration": ("promoted", "undecided"),
}


class Store:
    """An MLflow store for the time of the measurement."""

    def __init__(self, folder: Path, held_out: Path) -> None:
        self._uri = f"sqlite:///{folder}/mlflow.db"
        self._held_out = held_out

    def promote(self, bundle: Path, gate: Path) -> dict[str, Any]:
        """Register a bundle, send it through a gate of these settings, and return the decision's figures."""
        registry = ("-m", "model_registry", "--tracking-uri", self._uri)
        run_command(*registry, "register", str(bundle))
        name = open_bundle(bundle).manifest.name
        promote = ("promote", name, "candidate", "--gate", str(gate), "--json", "--held-out", str(self._held_out))
        done = run_command(*registry, *promote, accepted=VERDICTS)
        decision = json.loads(done.output)
        comparison = decision["trial"]["comparison"] or {}
        return {
            "exit_code": done.status,
            "verdict": decision["verdict"],
            "reason": decision["reason"],
            **{key: comparison[key] for key in ("candidate", "champion", "difference", "low", "high") if comparison},
        }


def main() -> int:
    """Run the four cases and print them as JSON; 1 when the gate has said something else than it should."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="gate-verdicts-") as folder:
        noised = Path(folder) / "noised"
        bundles = (options.worse, options.better, noised, options.other_seed)
        usual = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["gate"]
        margins = (usual["margin"],) * 3 + (options.seed_margin,)
        gates = [Path(folder) / f"gate-{number}.yaml" for number in range(len(margins))]
        for gate, margin in zip(gates, margins, strict=True):
            gate.write_text(yaml.safe_dump({**usual, "margin": margin}), encoding="utf-8")
        store = Store(Path(folder), options.held_out)
        # Standard output is for the result alone.
        with contextlib.redirect_stdout(sys.stderr):
            run_command("-m", "benchmarks.studies.noised_bundle", "--bundle", str(options.better), "--out", str(noised))
            found = {
                case: {"margin": margin, **store.promote(bundle, gate)}
                for case, bundle, gate, margin in zip(EXPECTED, bundles, gates, margins, strict=True)
            }
        for case, decision in found.items():
            decision["as_expected"] = decision["verdict"] in EXPECTED[case]
        print(json.dumps(found, indent=2))
    return 0 if all(decision["as_expected"] for decision in found.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.gate_verdicts",
        description="Send a worse model, a better one, a damaged copy and another seed through the gate.",
    )
    for name, meaning in (
        ("--worse", "bundle of a model that was trained too short"),
        ("--better", "bundle of the same configuration, trained whole"),
        ("--other-seed", "bundle of the same configuration with another seed"),
        ("--held-out", "a held-out set, runs/<id>/held_out/test.parquet"),
    ):
        parser.add_argument(name, required=True, type=Path, metavar="PATH", help=meaning)
    parser.add_argument(
        "--seed-margin",
        type=float,
        default=2.5,
        help="margin of the last case: above what seeds of this configuration differ by (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    run_cli(main)
