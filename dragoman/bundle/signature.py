"""Signatures of bundles: proof of origin, where the digests of a manifest only prove that a bundle is whole.

``model.sig`` lies beside the manifest and is the one file that the manifest does not list. It is a signature of OpenSSF
model signing over all other files, so that library's own command checks it as well::

    model_signing verify key BUNDLE --signature BUNDLE/model.sig --public_key public.pem

The library is imported only where a key is configured or a bundle is signed.
"""

import base64
import hashlib
import json
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from dragoman.atomic import write_bytes
from dragoman.errors import BundleError, ConfigError

SIGNATURE = "model.sig"
PUBLIC_KEY_VARIABLE = "DRAGOMAN_PUBLIC_KEY"
# The curves that the signature format has a hash for, as OpenSSL and the library call them.
CURVES = ("secp256r1", "secp384r1", "secp521r1")


def configured_public_key() -> Path | None:
    """Return the public key that every bundle opened here must be signed for, None where none is configured.

    Read here and nowhere else: a caller that had to pass it on could forget to, and would then trust anything.
    Raises ConfigError for a path that is not absolute.
    """
    value = os.environ.get(PUBLIC_KEY_VARIABLE)
    if not value:
        return None
    if not Path(value).is_absolute():
        # Servers run in directories of their own, where the same words would mean another file.
        raise ConfigError(
            f"{PUBLIC_KEY_VARIABLE} must be an absolute path, got {value!r}; set it to {Path(value).resolve()}"
        )
    return Path(value)


def sign(bundle_dir: Path, private_key: Path) -> str:
    """Write the signature of a bundle that has been verified, and return the key's fingerprint.

    Raises ConfigError when the key cannot be used and OutputError when the signature cannot be written.
    """
    library = _library()
    config = library.signing.Config().set_hashing_config(_all_but_signature(library))
    try:
        config.use_elliptic_key_signer(private_key=private_key)
    except Exception as error:
        raise _unusable("private key", private_key, error) from error
    with tempfile.TemporaryDirectory(prefix="dragoman-sign-") as folder:
        draft = Path(folder) / SIGNATURE
        config.sign(bundle_dir, draft)
        signature = draft.read_bytes()
    write_bytes(bundle_dir / SIGNATURE, signature)
    key, _ = _claim(signature)
    return key


def verify_signature(bundle_dir: Path, public_key: Path) -> str:
    """Check that the owner of a key signed every file of a bundle, and return the key's fingerprint.

    Raises ConfigError when the key cannot be used, and BundleError when the bundle is not signed, was signed with
    another key or in part, or differs from what was signed.
    """
    library = _library()
    key, path = fingerprint(public_key), bundle_dir / SIGNATURE
    try:
        claimed_key, signed_files = _claim(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleError(
            f"{bundle_dir} is not signed: it has no {SIGNATURE}, and the key {public_key} demands one; "
            f"sign it with: python -m model_registry sign {bundle_dir} --private-key KEY"
        ) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}; sign the bundle again") from error
    except Exception as error:
        # Anybody may have written this file: whatever reading it raises, it is no signature.
        raise BundleError(
            f"{path} is not a signature of model signing ({_reason(error)}); sign the bundle again"
        ) from error
    if claimed_key != key:
        raise BundleError(
            f"{path} was made with the key sha256:{claimed_key}, but {public_key} is sha256:{key}; sign the bundle "
            f"with the right key, or configure the public key of its signer"
        )
    config = library.verifying.Config().set_hashing_config(_all_but_signature(library))
    try:
        config.use_elliptic_key_verifier(public_key=public_key).verify(bundle_dir, path)
    except Exception as error:
        raise BundleError(
            f"{bundle_dir} is not what was signed for the key {public_key}: {_reason(error)}; fetch it again, "
            f"or sign it if the change is meant"
        ) from error
    files = {file.relative_to(bundle_dir).as_posix() for file in bundle_dir.rglob("*") if file.is_file()}
    unsigned = sorted(files - signed_files - {SIGNATURE})
    if unsigned:
        raise BundleError(f"{path} leaves {unsigned[0]} out; sign the whole bundle again")
    return key


def fingerprint(public_key: Path) -> str:
    """Return the sha256 of a public key in PEM form, as ``sha256sum public.pem`` prints it for OpenSSL's files.

    Raises ConfigError for a file that cannot be read or holds no key on one of the three NIST curves.
    """
    _library()
    # They come with the library that has just been found.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise _unusable("public key", public_key, error) from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _unusable("public key", public_key, ValueError(f"it is a {type(key).__name__.lstrip('_')}"))
    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _claim(signature: bytes) -> tuple[str, set[str]]:
    """Read the key and the files that a signature claims; neither counts before the library has verified it."""
    content: dict[str, Any] = json.loads(signature)
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"], validate=True))
    key = str(content["verificationMaterial"]["publicKey"]["hint"])
    return key, {str(resource["name"]) for resource in statement["predicate"]["resources"]}


def _library() -> ModuleType:
    try:
        import model_signing
    except ImportError as error:
        raise ConfigError(
            f"model-signing, which checks and makes signatures, is not installed ({error}); "
            f"pip install 'dragoman[signing]'"
        ) from error
    return model_signing  # type: ignore[no-any-return]  # the library is untyped


def _all_but_signature(library: ModuleType) -> Any:
    return library.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _unusable(what: str, path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"cannot use {path} as the {what}: {_reason(error)}; accepted is an unencrypted elliptic-curve key in PEM form "
        f"({', '.join(CURVES)}), as made by: openssl ecparam -name prime256v1 -genkey -noout -out private.pem; "
        f"openssl ec -in private.pem -pubout -out public.pem"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return " ".join(str(error).split()) or type(error).__name__
