"""Signing bundles, checking signatures, and keeping a bundle's signature with its version in the registry.

A signature is made when a person vouches for a bundle, which may be long after training stored it; it is the one file
of a version that may still come, and be made anew with another key.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman import atomic
from dragoman.bundle.signature import PUBLIC_KEY_VARIABLE, SIGNATURE, configured_public_key, sign, verify_signature
from dragoman.bundle.store import Bundle, open_unsigned
from dragoman.errors import ConfigError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from model_registry.versions.version import Version

# The place of the bundle among a logged model's files; the folder inside has the name the bundle had on disk.
ARTIFACT_FOLDER = "artifacts"


def sign_bundle(bundle_dir: Path, private_key: Path) -> str:
    """Sign a bundle that verifies, and say with which key; raises BundleError, ConfigError or OutputError."""
    bundle = open_unsigned(bundle_dir)
    key = sign(bundle.path, private_key)
    return f"signed: {bundle.path / SIGNATURE} with the key sha256:{key}"


def verify_bundle(bundle_dir: Path, public_key: Path | None) -> str:
    """Check a bundle and its signature, with the configured key unless one is given, and say whose it is."""
    public_key = public_key or configured_public_key()
    if public_key is None:
        raise ConfigError(f"no public key is named; give --public-key FILE or set {PUBLIC_KEY_VARIABLE}")
    manifest = open_unsigned(bundle_dir).manifest
    key = verify_signature(bundle_dir, public_key)
    return f"signed by sha256:{key}: {manifest.name} {manifest.version}, {len(manifest.files) + 1} files"


def store_signature(client: "MlflowClient", bundle: Bundle, model_id: str) -> None:
    """Put a bundle's signature, if it has one, with its version's files; training stored them without."""
    signature = bundle.path / SIGNATURE
    if signature.exists():
        (folder,) = client.list_logged_model_artifacts(model_id, ARTIFACT_FOLDER)
        client.log_model_artifact(model_id, str(signature), folder.path)


def update_signature(client: "MlflowClient", version: "Version", copy: Path) -> None:
    """Give a copy that was fetched earlier the signature that its version has now, if it has one.

    This happens whether a key is configured here or not: the copy may be packaged for servers that have one.
    """
    # Here, because signing alone must not wait seconds for MLflow.
    from mlflow.artifacts import download_artifacts

    # Empty when the files are gone from the store, which does not matter to a copy that has them.
    folders = client.list_logged_model_artifacts(version.model_id, ARTIFACT_FOLDER)
    files = [one for folder in folders for one in client.list_logged_model_artifacts(version.model_id, folder.path)]
    stored = [file.path for file in files if Path(file.path).name == SIGNATURE]
    if not stored:
        return
    root = client.get_model_version_download_uri(version.name, str(version.number))
    with tempfile.TemporaryDirectory(prefix="dragoman-signature-") as scratch:
        uri = f"{root}/{stored[0]}"
        signature = Path(
            download_artifacts(artifact_uri=uri, dst_path=scratch, tracking_uri=client.tracking_uri)
        ).read_bytes()
    if not (copy / SIGNATURE).is_file() or (copy / SIGNATURE).read_bytes() != signature:
        atomic.write_bytes(copy / SIGNATURE, signature)
