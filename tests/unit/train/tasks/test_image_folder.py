import errno
import io
import os
import tarfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragoman.errors import DataError
from dragoman.strict import parse
from tests.conftest import ROOT
from tests.toy_images import COLOURS, image_of, toy_files, write_files
from train.data.corpus import Splits
from train.tasks.image_classification.data_kinds import data_settings
from train.tasks.image_classification.examples import read_examples
from train.tasks.image_classification.sources.image_files import read_images


def read(name: str, **settings: Any) -> Splits:
    """Read a corpus as ``configs/data`` has it, with some settings of one's own."""
    written = yaml.safe_load((ROOT / "configs" / "data" / f"{name}.yaml").read_text(encoding="utf-8"))
    values = written["data"] | settings
    parsed = parse(values, data_settings(values["kind"]))
    assert parsed.problems == []
    splits: Splits = parsed.value.read()
    return splits


def tar_of(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def counts(splits: Splits) -> dict[str, int]:
    return {name: len(examples) for name, examples in splits.items()}


def test_cifar10_keeps_its_test_set_and_holds_out_a_tenth_of_every_class(shared_data: Path) -> None:
    splits = read("cifar10", path=str(shared_data / "cifar10" / "cifar10-jpg.tar.gz"))
    train, validation, test = (Counter(label for _, label in examples) for _, examples in splits.items())
    assert set(train.values()) == {4500}
    assert set(validation.values()) == {500}
    assert set(test.values()) == {1000}
    assert len(train) == 10
    assert splits.notes == {"ignored_files": {".md": 1}}
    assert splits.places[splits.train[0]].startswith(f"{shared_data}/cifar10/cifar10-jpg.tar.gz/train/")


def test_a_folder_and_its_archives_are_the_same_corpus(tmp_path: Path) -> None:
    files = toy_files()
    write_files(tmp_path / "photos", files)
    tar_of(tmp_path / "x.tar", {f"./{name}": data for name, data in reversed(files.items())}, "w:")
    tar_of(tmp_path / "x.tar.gz", {f"top/{name}": data for name, data in files.items()})
    zip_of(tmp_path / "x.zip", {f"top/below/{name}": data for name, data in files.items()})
    folder, *archives = (
        read("image_folder", path=str(tmp_path / name)) for name in ("photos", "x.tar", "x.tar.gz", "x.zip")
    )
    assert archives == [folder] * 3
    assert counts(folder) == {"train": 30, "validation": 3, "test": 3}
    assert {label for _, label in folder.train} == COLOURS.keys()


def test_folders_may_say_the_split_by_any_of_its_names_and_what_they_lack_is_held_out(tmp_path: Path) -> None:
    files = toy_files()
    named = {f"{split}/{name}": data for split in ("Train", "val") for name, data in files.items()}
    splits = read("image_folder", path=str(write_files(tmp_path / "x", named)))
    assert counts(splits) == {"train": 33, "validation": 36, "test": 3}
    whole = {**named, "testing/red/sub/a.JPG": image_of(COLOURS["red"], 99, kind="jpeg")}
    splits = read("image_folder", path=str(zip_of(tmp_path / "x.zip", whole)))
    assert counts(splits) == {"train": 36, "validation": 36, "test": 1}
    assert splits.places[splits.tests["test"][0]] == f"{tmp_path}/x.zip/testing/red/sub/a.JPG"


def test_what_is_no_image_is_passed_over_and_counted(tmp_path: Path) -> None:
    others = {
        "__MACOSX/red/._000.png": b"x",
        "red/.DS_Store": b"x",
        "red/Thumbs.db": b"x",
        "red/.000.png": b"x",
        "README.md": b"x",
        "labels.csv": b"x",
        "blue/LICENSE": b"x",
        "blue/x.gif": b"GIF89a",
    }
    expected = {"hidden": 4, ".md": 1, ".csv": 1, "no ending": 1, ".gif": 1}
    whole = toy_files() | others
    for path in (
        write_files(tmp_path / "x", whole),
        zip_of(tmp_path / "x.zip", whole),
        tar_of(tmp_path / "x.tgz", whole),
    ):
        splits = read("image_folder", path=str(path))
        assert sum(counts(splits).values()) == 36
        assert splits.notes == {"ignored_files": expected}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "b.png"], r"x has 2 images in no class's folder, such as a\.png; give class/file, or train/class/"),
        (["red/a.png", "b.png"], r"1 images in no class's folder, such as b\.png; .*data=image_table"),
        (["train/a.png", "train/red/b.png"], r"1 images in no class's folder, such as train/a\.png"),
        (["train/red/a.png", "cats/b.png"], r"x has train beside cats: give class/file, or .*, not some of each"),
        (["cat/train/a.png", "dog/test/b.png"], r"has the splits inside the classes, such as cat/train/a\.png"),
        (["val/red/a.png", "test/red/a.png"], r"has folders for test and validation and none for training; name one"),
        (
            ["red/a.bmp", "red/b.bmp", "c.txt"],
            r"no image \(.*\); other files there: 2 \.bmp, 1 \.txt; write them",
        ),
        ([], r"holds no image \(.*\); it is empty; give class/file"),
    ],
)
def test_another_layout_is_told_with_what_was_found(tmp_path: Path, names: list[str], message: str) -> None:
    (tmp_path / "x").mkdir()
    write_files(tmp_path / "x", dict.fromkeys(names, b"\x89PNG"))
    with pytest.raises(DataError, match=message):
        read("image_folder", path=str(tmp_path / "x"))


def test_names_that_lead_out_of_an_archive_and_links_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(image_of((0, 0, 0), 1))
    files = toy_files()
    evil = {"../red/000.png": b"x", "/red/001.png": b"x", "red/../../../b.png": b"x"}
    zip_of(tmp_path / "x.zip", files | evil)
    with tarfile.open(tar_of(tmp_path / "x.tar", files | evil, "w:"), "a") as archive:
        for kind, name in ((tarfile.SYMTYPE, "red/link.png"), (tarfile.LNKTYPE, "red/hard.png")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(member)
        pipe = tarfile.TarInfo("red/pipe.png")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    before = sorted(tmp_path.rglob("*"))
    for name, links in (("x.zip", 0), ("x.tar", 3)):
        found = read_images(tmp_path / name)
        assert {str(path) for path in found.images} == files.keys()
        assert found.ignored["path that leads outside"] == 3
        assert found.ignored["link"] + found.ignored["no plain file"] == links
    assert sorted(tmp_path.rglob("*")) == before


def test_links_to_files_count_in_a_folder_and_links_to_folders_and_into_nothing_do_not(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "x", toy_files())
    (tmp_path / "blob").write_bytes(image_of(COLOURS["red"], 99))
    (folder / "red" / "linked.png").symlink_to(tmp_path / "blob")
    (folder / "red" / "broken.png").symlink_to(tmp_path / "nothing")
    (folder / "again").symlink_to(folder)
    os.mkfifo(folder / "red" / "pipe.png")
    found = read_images(folder)
    assert len(found.images) == 37
    assert +found.ignored == {"link to a folder": 1, "broken link": 1, "no plain file": 1}


def test_an_archive_that_is_damaged_or_of_another_kind_is_told(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "x.tar.gz", toy_files()).read_bytes()
    for name, data, message in (
        ("cut.tar.gz", whole[: len(whole) // 2], r"cannot read .*cut\.tar\.gz: .*; it may be damaged"),
        ("text.tar", b"no archive at all", r"cannot read .*text\.tar: .*; it may be damaged"),
        ("text.zip", b"no archive at all", r"cannot read .*text\.zip: .*; it may be damaged"),
        ("x.rar", b"Rar!", r"x\.rar is neither a folder nor an archive \(\.tar, \.tar\.gz, \.tgz, \.zip\)"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message):
            read("image_folder", path=str(tmp_path / name))


def test_an_entry_that_unpacks_to_more_than_any_image_is_never_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.tasks.image_classification.sources.image_files.MOST_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("red/bomb.png", bytes(2**20 + 1))
        archive.writestr("red/a.png", b"\x89PNG")
    found = read_images(tmp_path / "x.zip")
    assert [str(name) for name in found.images] == ["red/a.png"]
    assert found.ignored == {"larger than 1 MiB": 1}


def test_images_that_memory_cannot_hold_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable: 1 kB", encoding="ascii")
    monkeypatch.setattr("train.data.memory.FREE", tmp_path / "meminfo")
    for path in (write_files(tmp_path / "x", toy_files()), zip_of(tmp_path / "x.zip", toy_files())):
        with pytest.raises(DataError, match=r"the images of .*x.* take 0\.0 GB of memory, .*; give fewer or smaller"):
            read_images(path)


def test_accents_that_an_archive_keeps_apart_make_no_second_class(tmp_path: Path) -> None:
    image = image_of(COLOURS["red"], 1)
    path = zip_of(tmp_path / "x.zip", {"cafe\u0301/1.png": image, "caf\u00e9/2.png": image, "tea/3.png": image})
    assert {label for _, label in read_examples([path])} == {"caf\u00e9", "tea"}


def test_accents_that_an_archive_keeps_apart_leave_the_order_of_images_alone(tmp_path: Path) -> None:
    names = ["a/e\u0301.png", "a/f.png", "a/\u00e9.jpg", "a/z.png"]
    images = [image_of(COLOURS["red"], number) for number in range(4)]
    orders = []
    for form in ("NFC", "NFD"):
        files = {unicodedata.normalize(form, name): image for name, image in zip(names, images, strict=True)}
        orders.append([image for image, _ in read_examples([zip_of(tmp_path / f"{form}.zip", files)])])
    assert orders[0] == orders[1]


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scan = write_files(tmp_path / "x", toy_files(2)), os.scandir

    def closed(path: str) -> Any:
        if str(path).endswith("green"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match=r"cannot read .*x/green \(Permission denied\); allow it"):
        read_images(folder)


def test_a_folder_is_a_test_set_or_has_one(tmp_path: Path) -> None:
    files = toy_files(1)
    assert len(read_examples([write_files(tmp_path / "all", files)])) == 3
    split = {f"train/{name}": data for name, data in files.items()} | {"test/red/1.png": files["red/000.png"]}
    assert read_examples([write_files(tmp_path / "some", split)]) == [(files["red/000.png"], "red")]
    with pytest.raises(DataError, match="has folders for train and validation and none for the test; name one"):
        read_examples([write_files(tmp_path / "none", {"train/a/1.png": b"", "val/a/1.png": b""})])
    with pytest.raises(DataError, match="photos does not exist; give a table, a folder or an archive"):
        read_examples([tmp_path / "photos"])
