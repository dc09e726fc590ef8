"""A damaged copy of a bundle, to see that the gate notices.

python -m benchmarks.studies.noised_bundle --bundle B --out FOLDER
"""

import argparse
from pathlib import Path

import torch

from benchmarks.translation.rewritten_bundle import Tensors, rewrite
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, run_cli


def noised(bundle: Bundle, destination: Path, *, share: float, seed: int) -> Bundle:
    """A copy in which a random share of every matrix's entries is drawn anew from a normal of that matrix's spread."""
    return rewrite(bundle, destination, lambda tensors: _noised_tensors(tensors, share, seed))


def _noised_tensors(tensors: Tensors, share: float, seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    changed = {}
    for name, tensor in sorted(tensors.items()):
        noise = torch.randn(tensor.shape, generator=generator) * tensor.std() + tensor.mean()
        hit = torch.rand(tensor.shape, generator=generator) < share
        changed[name] = torch.where(hit, noise, tensor) if tensor.dim() == 2 else tensor
    return changed


def main() -> None:
    """Parse the command line and write the copy."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.noised_bundle",
        description="Copy a bundle with a share of its weights replaced by noise.",
    )
    parser.add_argument("--bundle", required=True, type=Path, help="the bundle to copy")
    parser.add_argument("--out", required=True, type=Path, help="where the copy goes")
    parser.add_argument("--share", type=float, default=0.05, help="share of the weights (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the noise (default: %(default)s)")
    options = parser.parse_args()
    if not 0 < options.share <= 1:
        raise ConfigError(f"--share must be above 0 and at most 1, got {options.share:g}")
    copy = noised(open_bundle(options.bundle), options.out, share=options.share, seed=options.seed)
    print(f"bundle: {copy.path}")


if __name__ == "__main__":
    run_cli(main)
