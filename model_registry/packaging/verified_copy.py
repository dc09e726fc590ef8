"""Copying a bundle so that what arrives is what was verified: each file is read once, hashed on the way.

A bundle is verified when it is opened, and its files may change before they are packaged; verifying the copy afterwards
would read every byte again.
"""

import hashlib
import shutil
from pathlib import Path
from typing import IO

from dragoman.bundle.signature import SIGNATURE
from dragoman.bundle.store import MANIFEST, Bundle
from dragoman.errors import BundleError

CHUNK_BYTES = 1 << 20


def bundle_files(bundle: Bundle) -> list[str]:
    """List the files of a bundle: those of its manifest, the manifest itself, and the signature if there is one."""
    signature = [SIGNATURE] if (bundle.path / SIGNATURE).exists() else []
    return sorted([MANIFEST, *signature, *(entry.path for entry in bundle.manifest.files)])


def copy_file(bundle: Bundle, name: str, target: IO[bytes]) -> None:
    """Write one file of a bundle to ``target``; raises BundleError when it is not the one that was verified."""
    path = bundle.path / name
    if name == MANIFEST:
        target.write(bundle.manifest.to_json().encode("utf-8"))
        return
    with path.open("rb") as source:
        if name == SIGNATURE:
            shutil.copyfileobj(source, target)
            return
        digest = hashlib.sha256()
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            target.write(chunk)
    (expected,) = (entry.sha256 for entry in bundle.manifest.files if entry.path == name)
    if digest.hexdigest() != expected:
        raise BundleError(
            f"artifact digest mismatch: {path} expected sha256:{expected} got sha256:{digest.hexdigest()}"
        )


def copy_bundle(bundle: Bundle, destination: Path) -> None:
    """Copy a bundle to a directory that does not exist yet; raises BundleError when a file has changed meanwhile."""
    for name in bundle_files(bundle):
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        with (destination / name).open("xb") as file:
            copy_file(bundle, name, file)
