"""scikit-learn's handwritten digits as PNG files: ``python -m train.tasks.image_classification.digits FOLDER``.

1,797 pictures of 8x8 pixels that people wrote, by the digit they stand for; they come with scikit-learn, so nothing is
fetched. The same version of Pillow gives the same bytes.
"""

import argparse
import io
import random
from collections.abc import Mapping
from pathlib import Path

from dragoman.errors import OutputError, run_cli

# The same for everyone who names no seed, so that scores can be compared.
SEED = 0
# A gate decides on 500 test images at least, and a sixth of ten classes' images settles a temperature.
TEST, VALIDATION = 600, 200
# The pictures count from 0, which is the paper, to 16.
LARGEST = 16


def digit_pictures(seed: int = SEED) -> dict[str, list[tuple[bytes, str]]]:
    """Draw the pictures as PNG files with their digits, by split; every digit has its share of each split."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    by_class: dict[str, list[tuple[bytes, str]]] = {}
    for pixels, digit in zip(digits.images, digits.target, strict=True):
        file = io.BytesIO()
        Image.fromarray((255 - pixels * 255 / LARGEST).round().astype("uint8")).save(file, format="png")
        by_class.setdefault(str(digit), []).append((file.getvalue(), str(digit)))
    splits: dict[str, list[tuple[bytes, str]]] = {"train": [], "validation": [], "test": []}
    for label in sorted(by_class):
        examples = by_class[label]
        random.Random(f"{seed} {label}").shuffle(examples)  # noqa: S311 - a seeded split, no secret
        validation, test = VALIDATION // len(by_class), TEST // len(by_class)
        splits["validation"] += examples[:validation]
        splits["test"] += examples[validation : validation + test]
        splits["train"] += examples[validation + test :]
    return splits


def write_digits(folder: Path, splits: Mapping[str, list[tuple[bytes, str]]]) -> int:
    """Write the pictures as ``split/digit/number.png``; returns how many there are."""
    count = 0
    for split, examples in splits.items():
        for number, (image, label) in enumerate(examples):
            path = folder / split / label / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
            count += 1
    return count


def main() -> None:
    """Write the pictures into the folder that is named."""
    parser = argparse.ArgumentParser(
        prog="python -m train.tasks.image_classification.digits",
        description="Write scikit-learn's 1,797 handwritten digits as PNG files: FOLDER/split/digit/number.png.",
        epilog="Training reads the same pictures with data=digits; nothing needs to be written to a file first.",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to write; made where it does not exist")
    folder: Path = parser.parse_args().folder
    try:
        count = write_digits(folder, digit_pictures())
    except OSError as error:
        raise OutputError(f"cannot write to {folder} ({error.strerror}); give another folder") from error
    print(f"{count:,} pictures of digits written to {folder}")


if __name__ == "__main__":
    run_cli(main)
