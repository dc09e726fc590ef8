"""Files of a folder or an archive, read one after the other; nothing is ever written to disk.

A name in an archive is therefore only a name: one with ``..`` or of a link leads nowhere.
"""

import os
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dragoman.errors import DataError
from train.data.memory import require_memory
from train.run.progress import Tell, silent

# What ``dragoman.tasks.image_classification.decoding`` takes, by the endings of names.
ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
# What systems leave behind beside the files of a person.
LEFT_BEHIND = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
# No photograph is larger, and one entry of a small archive may unpack to far more than memory holds.
MOST_BYTES = 64 * 2**20
# Progress is told this often; the number of files of an archive is not known before its end.
TOLD_EVERY = 1000


@dataclass
class FoundFiles:
    """The image files of a folder or an archive, by their paths in it, and what was passed over by reason."""

    images: dict[PurePosixPath, bytes] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)


def read_images(path: Path, tell: Tell = silent) -> FoundFiles:
    """Read all image files under a folder or in an archive, sorted by their paths; raises DataError."""
    if path.is_dir():
        entries = _folder
    elif path.name.lower().endswith(ARCHIVES):
        # Image files are compressed, so an archive of them is as large as they are.
        _require_room(path.stat().st_size, path)
        entries = _zip if path.name.lower().endswith(".zip") else _tar
    else:
        raise DataError(f"data.path: {path} is neither a folder nor an archive ({', '.join(ARCHIVES)}) of images")
    found = FoundFiles()
    try:
        for number, (name, data, share) in enumerate(entries(path, found.ignored)):
            found.images[name] = data
            if number % TOLD_EVERY == 0:
                tell(f"reading the images of {path.name}", share)
    except PermissionError as error:
        raise DataError(f"cannot read {error.filename} ({error.strerror}); allow it, or move it elsewhere") from error
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile adds what each compression says
        raise DataError(f"cannot read {path}: {reason}; it may be damaged, fetch or pack it again") from error
    except RuntimeError as error:  # which zipfile raises for a password
        raise DataError(f"cannot read {path}: {error}; pack it again without a password") from error
    found.images = dict(sorted(found.images.items(), key=lambda item: _order(item[0])))
    return found


def _order(name: PurePosixPath) -> list[str]:
    # Some systems hold letters and their accents apart: the same files have the same order everywhere.
    return [unicodedata.normalize("NFC", part) for part in name.parts]


def _require_room(size: int, path: Path) -> None:
    require_memory(
        size, f"the images of {path}", instead="give fewer or smaller ones, or take a machine with more memory"
    )


Entries = Iterator[tuple[PurePosixPath, bytes, float]]
"""Files with their contents, and the share of everything that was read so far."""


def _reason(name: PurePosixPath, size: int) -> str | None:
    """Tell why a file is passed over, None for an image."""
    if ".." in name.parts or name.is_absolute():
        return "path that leads outside"
    if any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in name.parts):
        return "hidden"
    if name.suffix.lower() not in ENDINGS:
        return name.suffix.lower() or "no ending"
    return f"larger than {MOST_BYTES // 2**20} MiB" if size > MOST_BYTES else None


def _folder(path: Path, ignored: Counter[str]) -> Entries:
    # Links to files are a way to build a corpus; links to folders could lead round in a circle.
    names: list[Path] = []
    for folder, folders, files in os.walk(path, onerror=_refuse):
        folders.sort()
        ignored["link to a folder"] += sum((Path(folder) / name).is_symlink() for name in folders)
        names += [Path(folder) / name for name in files]
    _require_room(sum(file.stat().st_size for file in names if file.suffix.lower() in ENDINGS and file.is_file()), path)
    for number, file in enumerate(names):
        name = PurePosixPath(file.relative_to(path).as_posix())
        try:
            status = file.stat()
        except FileNotFoundError:
            ignored["broken link"] += 1
            continue
        reason = _reason(name, status.st_size) if stat.S_ISREG(status.st_mode) else "no plain file"
        if reason is None:
            yield name, file.read_bytes(), number / len(names)
        else:
            ignored[reason] += 1


def _refuse(error: OSError) -> None:
    # By default a folder that may not be read is one without files.
    raise error


def _tar(path: Path, ignored: Counter[str]) -> Entries:
    with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as archive:
        for member in archive:
            if member.isdir():
                continue
            name = PurePosixPath(member.name)
            reason = _reason(name, member.size) if member.isreg() else "link" if member.issym() else "no plain file"
            file = archive.extractfile(member) if reason is None else None
            if file is None:
                ignored[reason or "no plain file"] += 1
            else:
                yield name, file.read(), raw.tell() / path.stat().st_size


def _zip(path: Path, ignored: Counter[str]) -> Entries:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for number, entry in enumerate(entries):
            if entry.is_dir():
                continue
            name = PurePosixPath(entry.filename)
            link = stat.S_ISLNK(entry.external_attr >> 16)
            reason = "link" if link else _reason(name, entry.file_size)
            if reason is None:
                yield name, archive.read(entry), number / len(entries)
            else:
                ignored[reason] += 1
