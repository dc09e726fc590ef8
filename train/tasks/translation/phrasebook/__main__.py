"""Print the phrasebook: ``python -m train.tasks.translation.phrasebook --size 20``."""

import argparse
import random

from dragoman.errors import ConfigError, run_cli
from train.tasks.translation.phrasebook.corpus import MAXIMUM_SIZE, MINIMUM_SIZE, PATTERNS, generate


def main() -> None:
    """Print pairs as tab-separated text, English first."""
    arguments = _parser().parse_args()
    if arguments.size < 1:
        raise ConfigError(f"--size must be at least 1, got {arguments.size}", field="size")
    if arguments.patterns:
        _print_patterns(arguments.seed)
        return
    splits = generate(size=max(arguments.size, MINIMUM_SIZE), seed=arguments.seed)
    for english, german in [*splits.train, *splits.validation, *splits.test][: arguments.size]:
        print(f"{english}\t{german}")


def _print_patterns(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - examples, not secrets
    for pattern in PATTERNS:
        english, german = pattern.pair(chance.randrange(pattern.count))
        print(f"{pattern.name}\t{pattern.count}\t{english}\t{german}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.tasks.translation.phrasebook",
        description="Print sentence pairs of the built-in English-German phrasebook, one a line: English, tab, German.",
        epilog="Training reads the same pairs with data=phrasebook; nothing needs to be written to a file first.",
    )
    parser.add_argument(
        "--size", type=int, default=20, help=f"how many pairs to print, up to {MAXIMUM_SIZE} (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another sample (default: 0)")
    parser.add_argument(
        "--patterns",
        action="store_true",
        help="list the sentence patterns instead: name, number of pairs, and one example",
    )
    return parser


if __name__ == "__main__":
    run_cli(main)
