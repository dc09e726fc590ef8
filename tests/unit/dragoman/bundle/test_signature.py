import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dragoman
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.signature import PUBLIC_KEY_VARIABLE, SIGNATURE, fingerprint, sign, verify_signature
from dragoman.bundle.store import open_bundle, open_unsigned
from dragoman.errors import BundleError, ConfigError
from tests.conftest import ROOT
from tests.signing_keys import KeyPair, write_key_pair
from tests.tiny_model import write_tiny_bundle


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return write_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return write_key_pair(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory, toy_sentences) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("another"), toy_sentences, seed=2)


@pytest.fixture(scope="module")
def original(tiny_bundle: Path, keys: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("signed") / "bundle"))
    sign(path, keys.private)
    return path


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "bundle"))


@pytest.fixture
def key_configured(keys: KeyPair, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(keys.public))
    return keys.public


def test_a_signed_bundle_opens_and_loads_and_is_the_same_bundle(signed, tiny_bundle, key_configured):
    assert open_bundle(signed).manifest == open_unsigned(tiny_bundle).manifest
    dragoman.load(signed).close()


@pytest.mark.usefixtures("key_configured")
def test_every_way_to_open_an_unsigned_bundle_is_refused_but_the_pipelines_own(tiny_bundle: Path):
    for opened in (open_bundle, dragoman.load):
        with pytest.raises(BundleError, match=r"is not signed: it has no model.sig.* model_registry sign"):
            opened(tiny_bundle)
    dragoman.load(open_unsigned(tiny_bundle)).close()


def test_without_a_key_a_signature_is_carried_but_not_asked_for(signed: Path, tiny_bundle: Path):
    (signed / SIGNATURE).write_text("no signature at all")
    assert open_bundle(signed).manifest == open_bundle(tiny_bundle).manifest


def edit_config(bundle: Path, **changes: object) -> None:
    path = bundle / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reseal(bundle: Path) -> None:
    """Write the new digest of an altered file into the manifest, as an attacker who knows the format would."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for entry in manifest["files"]:
        content = (bundle / entry["path"]).read_bytes()
        entry["sha256"], entry["bytes"] = hashlib.sha256(content).hexdigest(), len(content)
    unsealed = Manifest.from_json(json.dumps(manifest), origin="altered")
    (bundle / "manifest.json").write_text(unsealed.sealed().to_json())


def edit_signature(bundle: Path, change: Callable[[dict], None]) -> None:
    signature = json.loads((bundle / SIGNATURE).read_text())
    change(signature)
    (bundle / SIGNATURE).write_text(json.dumps(signature))


def edit_statement(bundle: Path, change: Callable[[dict], None]) -> None:
    def edit(signature: dict) -> None:
        statement = json.loads(base64.b64decode(signature["dsseEnvelope"]["payload"]))
        change(statement)
        signature["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    edit_signature(bundle, edit)


def append(bundle: Path, name: str, resealed: bool) -> None:
    path = bundle / name
    path.write_bytes(path.read_bytes() + b"\n")
    if resealed:
        reseal(bundle)


NAMES = (
    "model/model.safetensors",
    "model/spiece.model",
    "model/generation_config.json",
    "model/tokenizer.json",
    "model/tokenizer_config.json",
    "engines/ct2-int8/model.bin",
    "engines/ct2-int8/config.json",
    "config.yaml",
    "MODEL_CARD.md",
)
DIGEST, SIGNED, MALFORMED = "artifact digest mismatch", "is not what was signed for the key", "is not a signature"

# Each alters a signed bundle and says which rule must be named.
ALTERATIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no signature": (lambda bundle: (bundle / SIGNATURE).unlink(), "is not signed"),
    "an empty signature": (lambda bundle: (bundle / SIGNATURE).write_text(""), MALFORMED),
    "half a signature": (
        lambda bundle: (bundle / SIGNATURE).write_bytes((bundle / SIGNATURE).read_bytes()[:900]),
        MALFORMED,
    ),
    "bytes that are no text": (lambda bundle: (bundle / SIGNATURE).write_bytes(b"\xff\xfe\x00"), MALFORMED),
    "an empty list": (lambda bundle: (bundle / SIGNATURE).write_text("[]"), MALFORMED),
    "null": (lambda bundle: (bundle / SIGNATURE).write_text("null"), MALFORMED),
    "nesting without end": (lambda bundle: (bundle / SIGNATURE).write_text("[" * 100_000), MALFORMED),
    "no envelope": (lambda bundle: edit_signature(bundle, lambda it: it.pop("dsseEnvelope")), MALFORMED),
    "no key": (lambda bundle: edit_signature(bundle, lambda it: it["verificationMaterial"].clear()), MALFORMED),
    "no key hint": (
        lambda bundle: edit_signature(bundle, lambda it: it["verificationMaterial"]["publicKey"].clear()),
        MALFORMED,
    ),
    "a hint of another key": (
        lambda bundle: edit_signature(bundle, lambda it: it["verificationMaterial"]["publicKey"].update(hint="0" * 64)),
        "was made with the key sha256:0000",
    ),
    "no signatures": (
        lambda bundle: edit_signature(bundle, lambda it: it["dsseEnvelope"]["signatures"].clear()),
        SIGNED,
    ),
    "a signature of zeros": (
        lambda bundle: edit_signature(
            bundle, lambda it: it["dsseEnvelope"]["signatures"][0].update(sig=base64.b64encode(b"\0" * 70).decode())
        ),
        SIGNED,
    ),
    "an empty signature value": (
        lambda bundle: edit_signature(bundle, lambda it: it["dsseEnvelope"]["signatures"][0].update(sig="")),
        SIGNED,
    ),
    "another payload type": (
        lambda bundle: edit_signature(bundle, lambda it: it["dsseEnvelope"].update(payloadType="text/plain")),
        SIGNED,
    ),
    "another media type": (lambda bundle: edit_signature(bundle, lambda it: it.update(mediaType="x/y")), SIGNED),
    "a statement that ignores the weights": (
        lambda bundle: edit_statement(
            bundle, lambda it: it["predicate"]["serialization"].update(ignore_paths=["model", "model.sig"])
        ),
        SIGNED,
    ),
    "a statement with one file fewer": (
        lambda bundle: edit_statement(bundle, lambda it: it["predicate"]["resources"].pop()),
        SIGNED,
    ),
    "a statement without files": (
        lambda bundle: edit_statement(bundle, lambda it: it["predicate"]["resources"].clear()),
        SIGNED,
    ),
    "code named in config.json": (
        lambda bundle: edit_config(bundle, auto_map={"AutoModel": "evil.Model"}),
        DIGEST,
    ),
    "code named in config.json, resealed": (
        lambda bundle: (edit_config(bundle, auto_map={"AutoModel": "evil.Model"}), reseal(bundle)),
        "do not describe a t5",
    ),
    "an internal key in config.json, resealed": (
        lambda bundle: (edit_config(bundle, _attn_implementation_internal="evil"), reseal(bundle)),
        "do not describe a t5",
    ),
    "an allowed key in config.json, resealed": (
        lambda bundle: (edit_config(bundle, dropout_rate=0.5), reseal(bundle)),
        SIGNED,
    ),
    "a surprise": (lambda bundle: (bundle / "model" / "surprise.py").write_text("1"), "not part of the bundle"),
    "a missing file": (lambda bundle: (bundle / "model" / "spiece.model").unlink(), "is missing"),
    **{f"{name} altered": (lambda bundle, name=name: append(bundle, name, False), DIGEST) for name in NAMES},
    **{f"{name} altered, resealed": (lambda bundle, name=name: append(bundle, name, True), SIGNED) for name in NAMES},
}


@pytest.mark.usefixtures("key_configured")
@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_bundle_is_refused_and_the_rule_named(signed: Path, alteration: str):
    alter, rule = ALTERATIONS[alteration]
    alter(signed)
    with pytest.raises(BundleError, match=rule) as caught:
        open_bundle(signed)
    assert "\n" not in str(caught.value)


def test_at_least_forty_alterations_are_tried():
    assert len(ALTERATIONS) >= 40


@pytest.mark.usefixtures("key_configured")
def test_a_bundle_signed_with_another_key_is_refused_with_both_fingerprints(signed, keys, other_keys):
    sign(signed, other_keys.private)
    with pytest.raises(BundleError) as caught:
        open_bundle(signed)
    for key in (keys.public, other_keys.public):
        assert f"sha256:{fingerprint(key)}" in str(caught.value)


@pytest.mark.usefixtures("key_configured")
def test_a_forged_hint_does_not_make_another_key_the_right_one(signed, keys, other_keys):
    sign(signed, other_keys.private)
    edit_signature(signed, lambda it: it["verificationMaterial"]["publicKey"].update(hint=fingerprint(keys.public)))
    with pytest.raises(BundleError, match=SIGNED):
        open_bundle(signed)


@pytest.mark.usefixtures("key_configured")
def test_the_signature_of_another_bundle_and_a_stale_manifest_are_refused(signed, original, other_bundle, tmp_path):
    other = Path(shutil.copytree(other_bundle, tmp_path / "other"))
    shutil.copyfile(original / SIGNATURE, other / SIGNATURE)
    with pytest.raises(BundleError, match=SIGNED):
        open_bundle(other)
    shutil.copyfile(other / "manifest.json", signed / "manifest.json")
    with pytest.raises(BundleError, match=DIGEST):
        open_bundle(signed)


@pytest.mark.usefixtures("key_configured")
def test_a_signature_that_leaves_a_file_out_is_refused(signed: Path, keys: KeyPair):
    import model_signing

    partly = model_signing.hashing.Config().set_ignored_paths(paths=[SIGNATURE, "model/model.safetensors"])
    signer = model_signing.signing.Config().use_elliptic_key_signer(private_key=keys.private)
    signer.set_hashing_config(partly).sign(signed, signed / SIGNATURE)
    with pytest.raises(BundleError, match=r"leaves model/model.safetensors out|is not what was signed"):
        open_bundle(signed)


@pytest.mark.usefixtures("key_configured")
def test_a_signature_behind_a_link_is_refused(signed: Path):
    (signed / SIGNATURE).rename(signed.parent / SIGNATURE)
    (signed / SIGNATURE).symlink_to(signed.parent / SIGNATURE)
    with pytest.raises(BundleError, match="symbolic link"):
        open_bundle(signed)


def test_the_fingerprint_is_what_sha256sum_prints(keys: KeyPair):
    assert fingerprint(keys.public) == hashlib.sha256(keys.public.read_bytes()).hexdigest()


@pytest.mark.parametrize("curve", ["secp384r1", "secp521r1"])
def test_larger_curves_are_accepted(signed: Path, tmp_path: Path, curve: str):
    pair = write_key_pair(tmp_path, curve)
    assert sign(signed, pair.private) == verify_signature(signed, pair.public) == fingerprint(pair.public)


def test_a_key_that_cannot_be_used_is_a_matter_of_configuration(signed, keys, tmp_path, monkeypatch):
    text, rsa, directory = tmp_path / "key.txt", tmp_path / "rsa.pem", tmp_path / "folder"
    text.write_text("no key")
    directory.mkdir()
    subprocess.run(["openssl", "genrsa", "-out", str(tmp_path / "p"), "2048"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-in", str(tmp_path / "p"), "-pubout", "-out", str(rsa)], check=True, capture_output=True
    )
    small = tmp_path / "small"
    small.mkdir()
    other_curve = write_key_pair(small, "secp256k1").public
    for path in (text, rsa, directory, other_curve, keys.private, tmp_path / "none"):
        monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(path))
        with pytest.raises(ConfigError, match=r"cannot use .* as the public key"):
            open_bundle(signed)
    for path in (text, tmp_path / "p", keys.public, tmp_path / "none", small / "private.pem"):
        with pytest.raises(ConfigError, match=r"cannot use .* as the private key"):
            sign(signed, path)


def test_a_relative_key_is_refused_since_servers_run_elsewhere(signed, monkeypatch):
    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, "public.pem")
    with pytest.raises(ConfigError, match=r"must be an absolute path, got 'public.pem'"):
        open_bundle(signed)


def test_the_librarys_own_command_verifies_the_signature(signed: Path, keys: KeyPair):
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
    command += ["--signature", str(signed / SIGNATURE), "--public_key", str(keys.public)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Verification succeeded\n")
    append(signed, "config.yaml", True)
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 1


@pytest.mark.usefixtures("key_configured")
def test_a_signature_made_by_the_librarys_own_command_is_accepted(tiny_bundle, keys, tmp_path):
    path = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    command = [sys.executable, "-m", "model_signing", "sign", "key", str(path)]
    command += ["--signature", str(path / SIGNATURE), "--private_key", str(keys.private)]
    subprocess.run(command, check=True, capture_output=True)
    open_bundle(path)


WITHOUT_LIBRARY = (
    "import runpy, sys; sys.modules['model_signing'] = None; runpy.run_module('dragoman', run_name='__main__')"
)


def dragoman_command(
    *arguments: str, key: Path | None = None, library: bool = True
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), PUBLIC_KEY_VARIABLE: str(key or "")}
    start = ["-m", "dragoman"] if library else ["-c", WITHOUT_LIBRARY]
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_verify_says_whether_there_is_a_signature_and_whether_it_was_checked(signed, tiny_bundle, keys):
    lines = [
        dragoman_command("verify", str(bundle), key=key).stdout.splitlines()[-1]
        for bundle, key in ((tiny_bundle, None), (signed, None), (signed, keys.public))
    ]
    assert lines[0] == "signature: none"
    assert lines[1] == "signature: not checked, since DRAGOMAN_PUBLIC_KEY names no key"
    assert lines[2] == f"signature: verified with {keys.public}"
    refused = dragoman_command("verify", str(tiny_bundle), key=keys.public)
    assert refused.returncode == 78
    assert "is not signed" in refused.stderr
    assert json.loads(dragoman_command("info", str(signed)).stdout)["signature"].startswith("not checked")


def test_the_library_is_needed_only_where_a_key_is_configured(signed: Path, keys: KeyPair):
    assert dragoman_command("verify", str(signed), library=False).returncode == 0
    missing = dragoman_command("verify", str(signed), key=keys.public, library=False)
    assert missing.returncode == 64
    assert "pip install 'dragoman[signing]'" in missing.stderr
