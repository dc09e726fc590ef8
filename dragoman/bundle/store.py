"""Bundles on disk, the one contract between the stages: a directory that holds a model with all that is known of it.

::

    manifest.json      names, limits, provenance, scores, and the sha256 and size of every other file
    model/             safetensors, and what else the model's family has (Hugging Face layout)
    engines/NAME/      what an engine opens, such as a conversion of the weights
    config.yaml        the resolved training configuration
    MODEL_CARD.md      written from the manifest
    model.sig          the signature, once there is one; the only file that the manifest does not list

Opening a bundle checks every digest, that it holds nothing that could run code (``dragoman.bundle.contents``), and
where a public key is configured, its signature (``dragoman.bundle.signature``).
"""

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.atomic import directory as new_directory
from dragoman.bundle.contents import check_contents
from dragoman.bundle.manifest import FileEntry, Manifest, Provenance, Score, check_name
from dragoman.bundle.model_card import model_card
from dragoman.bundle.signature import SIGNATURE, configured_public_key, verify_signature
from dragoman.errors import BundleError

MANIFEST = "manifest.json"
# The label of models in BentoML's store that hold a bundle.
BUNDLE_LABEL = "dragoman-bundle"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    path: Path
    manifest: Manifest

    @property
    def model_dir(self) -> Path:
        """The model in Hugging Face layout."""
        return self.path / "model"

    def engine_dir(self, name: str) -> Path:
        """Return the directory of what one engine opens."""
        return self.path / "engines" / name


def write_bundle(
    destination: Path,
    *,
    name: str,
    task: str,
    options: Mapping[str, Any],
    limits: Mapping[str, Any],
    provenance: Provenance,
    scores: Sequence[Score],
    baselines: Sequence[Score] = (),
    model_dir: Path,
    engines: Mapping[str, Path],
    config_yaml: str,
) -> Bundle:
    """Copy a model and its conversions into a new bundle directory; the same input gives the same bytes.

    Raises ConfigError for a bad name and OutputError when ``destination`` exists or cannot be written.
    """
    check_name(name)
    with new_directory(Path(destination)) as root:
        _copy_files(model_dir, root / "model")
        for engine, folder in engines.items():
            _copy_files(folder, root / "engines" / engine)
        (root / "config.yaml").write_text(config_yaml, encoding="utf-8")
        manifest = Manifest(
            name=name,
            task=task,
            options=options,
            limits=limits,
            provenance=provenance,
            scores=tuple(scores),
            baselines=tuple(baselines),
            engines=tuple(sorted(engines)),
            files=(),
        )
        (root / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        entries = tuple(
            FileEntry(path=name, sha256=file_sha256(root / name), bytes=(root / name).stat().st_size)
            for name in _file_names(root)
        )
        manifest = dataclasses.replace(manifest, files=entries).sealed()
        (root / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        check_contents(root, manifest)
    return Bundle(Path(destination), manifest)


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle and verify it: manifest, files, digests, the model's configuration, and the signature.

    The signature counts where DRAGOMAN_PUBLIC_KEY names a public key. Raises BundleError, naming the file and the
    expected and the found digest, or the fault of the signature; ConfigError when the key cannot be used.
    """
    bundle = open_unsigned(path)
    public_key = configured_public_key()
    if public_key is not None:
        verify_signature(bundle.path, public_key)
    return bundle


def open_unsigned(path: str | Path) -> Bundle:
    """Open and verify a bundle without its signature: for callers that have just written it, or are about to sign it.

    Training reads back its export before anybody can have signed it. Callers that serve, judge or pass on a bundle use
    ``open_bundle``.
    """
    path = Path(path)
    manifest_path = path / MANIFEST
    try:
        text = manifest_path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BundleError(
            f"{path} is not a bundle: it has no {MANIFEST}; give the directory that training printed as 'bundle: …'"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"cannot read {manifest_path}: {error}") from error
    manifest = Manifest.from_json(text, origin=str(manifest_path))
    try:
        sealed = manifest.sealed()
    except RecursionError as error:
        raise BundleError(f"{manifest_path} is nested too deeply; the bundle is damaged, fetch it again") from error
    except ValueError as error:
        # Half a surrogate pair or 1e999, as an altered text can hold: Python reads it as JSON, but cannot write it.
        raise BundleError(f"{manifest_path} holds what is no JSON ({error}); fetch the bundle again") from error
    if (sealed.digest, sealed.version) != (manifest.digest, manifest.version):
        raise _mismatch(manifest_path, manifest.digest, sealed.digest)
    canonical = manifest.to_json()
    if canonical != text:
        # The same content written differently, 1e1 for 10: no manifest of ours is written like that.
        raise _mismatch(manifest_path, *(hashlib.sha256(form.encode()).hexdigest() for form in (canonical, text)))
    bundle = Bundle(path, manifest)
    _verify_files(bundle)
    check_contents(path, manifest)
    return bundle


def _copy_files(source: Path, destination: Path) -> None:
    destination.mkdir(parents=True)
    for file in sorted(Path(source).iterdir()):
        if file.is_file():
            shutil.copyfile(file, destination / file.name)


def _file_names(root: Path) -> list[str]:
    return sorted(
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if (file.is_file() or file.is_symlink()) and file not in (root / MANIFEST, root / SIGNATURE)
    )


def file_sha256(path: Path) -> str:
    """Return the digest of a file in hexadecimal, however large the file is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify_files(bundle: Bundle) -> None:
    expected = {entry.path: entry.sha256 for entry in bundle.manifest.files}
    found = set(_file_names(bundle.path))
    missing, extra = sorted(set(expected) - found), sorted(found - set(expected))
    if missing:
        raise BundleError(f"{bundle.path / missing[0]} is missing from the bundle; fetch the bundle again")
    if extra:
        raise BundleError(f"{bundle.path / extra[0]} is not part of the bundle's manifest; remove it")
    for name in (MANIFEST, SIGNATURE, *expected):
        if (bundle.path / name).is_symlink():
            raise BundleError(f"{bundle.path / name} is a symbolic link; a bundle holds plain files only")
    for name, sha256 in expected.items():
        digest = file_sha256(bundle.path / name)
        if digest != sha256:
            raise _mismatch(bundle.path / name, sha256, digest)


def _mismatch(path: Path, expected: str, found: str) -> BundleError:
    return BundleError(f"artifact digest mismatch: {path} expected sha256:{expected} got sha256:{found}")
