"""Images of the user's own in folders by class: ``[split/]class/…/file``, on disk or in an archive."""

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from dragoman.errors import DataError
from dragoman.strict import Setting
from train.data.corpus import Splits, with_held_out
from train.data.folder import find_data
from train.run.progress import Tell, silent
from train.tasks.classification.classes import listed
from train.tasks.classification.tables import SPLITS, note_place
from train.tasks.image_classification.sources.image_files import ENDINGS, read_images

LabelledImage = tuple[bytes, str]
LAYOUT = "class/file, or train/class/file, validation/class/file and test/class/file"


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The folder or archive; where it has no folders for validation or test, training images are held out.

    Hold-outs are stratified: every class has its share of each.
    """

    kind: Literal["image_folder"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[
        str,
        Setting(
            "a folder or archive (.tar, .tar.gz, .zip) of [split/]class/file, found in DRAGOMAN_DATA, in data/ or here"
        ),
    ]
    validation_size: Annotated[int, Setting("images held out for validation, at most a tenth", minimum=1)]
    test_size: Annotated[int, Setting("images held out for the test, at most a tenth", minimum=1)]
    seed: Annotated[int, Setting("seed of the hold-out", minimum=0)]

    def read(self, tell: Tell = silent) -> Splits:
        """Read the images; raises DataError saying what was found where the layout is another."""
        found = read_folder(find_data(self.path, setting="data.path"), tell)
        splits = found.splits
        if "train" not in splits:
            raise DataError(
                f"{self.path} has folders for {' and '.join(splits)} and none for training; name one of them train"
            )
        whole = with_held_out(
            self.name,
            splits["train"],
            splits.get("validation"),
            splits.get("test"),
            validation_size=self.validation_size,
            test_size=self.test_size,
            seed=self.seed,
            stratified=True,
        )
        notes = {"ignored_files": dict(found.ignored)} if found.ignored else {}
        return dataclasses.replace(whole, places=found.places, notes=notes)


@dataclass(frozen=True, kw_only=True)
class LabelledFolder:
    """The images of a folder or an archive by split, with their places and the counts of what is no image."""

    splits: Mapping[str, list[LabelledImage]]
    places: Mapping[LabelledImage, str]
    ignored: Counter[str]


def read_folder(path: Path, tell: Tell = silent) -> LabelledFolder:
    """Read the images and their labels; raises DataError saying what was found where the layout is another."""
    found = read_images(path, tell)
    if not found.images:
        raise DataError(f"{path} holds no image ({', '.join(sorted(ENDINGS))}); {_passed_over(found.ignored)}")
    splits: dict[str, list[LabelledImage]] = {}
    places: dict[LabelledImage, str] = {}
    for name, (split, label) in labels_by_layout(str(path), found.images).items():
        example = found.images[name], label
        splits.setdefault(split, []).append(example)
        note_place(places, example, f"{path}/{name}")
    return LabelledFolder(splits=splits, places=places, ignored=+found.ignored)


def labels_by_layout(where: str, names: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, tuple[str, str]]:
    """Give split and label of every file by its path; raises DataError for another layout than the accepted ones.

    A folder around everything, such as that of an archive, is passed over.
    """
    paths = {name: name.parts for name in names}
    while min(map(len, paths.values())) > 2:
        around = {parts[0] for parts in paths.values()}
        if len(around) > 1 or around.pop().lower() in SPLITS:
            break
        paths = {name: parts[1:] for name, parts in paths.items()}
    of_splits = {parts[0] for parts in paths.values() if parts[0].lower() in SPLITS and len(parts) > 1}
    others = sorted({parts[0] for parts in paths.values()} - of_splits)
    if of_splits and others:
        raise DataError(
            f"{where} has {', '.join(sorted(of_splits))} beside {listed(others)}: give {LAYOUT}, not some of each"
        )
    depth = 1 if of_splits else 0
    loose = [name for name, parts in paths.items() if len(parts) < depth + 2]
    if loose:
        raise DataError(
            f"{where} has {len(loose)} images in no class's folder, such as {loose[0]}; give {LAYOUT}, or a table of "
            "their labels with data=image_table"
        )
    inner = {parts[1].lower() for parts in paths.values()}
    if not of_splits and inner <= SPLITS.keys() and all(len(parts) > 2 for parts in paths.values()):
        raise DataError(f"{where} has the splits inside the classes, such as {next(iter(paths))}; give {LAYOUT}")
    return {
        name: (
            SPLITS[parts[0].lower()] if of_splits else "train",
            # Archives of some systems hold letters and their accents apart.
            unicodedata.normalize("NFC", parts[depth]).strip(),
        )
        for name, parts in paths.items()
    }


def _passed_over(ignored: Counter[str]) -> str:
    if not +ignored:
        return f"it is empty; give {LAYOUT}"
    files = listed([f"{count} {reason}" for reason, count in (+ignored).most_common()])
    return f"other files there: {files}; write them as JPEG, PNG or WebP, in folders {LAYOUT}"
