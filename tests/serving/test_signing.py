"""A signature on its whole way: made, registered, fetched, packaged, and asked for by both servers as they start."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.run.bento import BentoServer
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.signature import PUBLIC_KEY_VARIABLE, SIGNATURE, fingerprint
from dragoman.bundle.store import Bundle, open_bundle, open_unsigned
from dragoman.errors import BundleError, ConfigError, UnavailableError
from dragoman.live.pointer import Pointer
from model_registry.command_line import main
from model_registry.mlflow_store.tracking import TrackedRun
from model_registry.packaging.bento import build_bento
from model_registry.packaging.mar import build_mar
from model_registry.versions.following import follow
from tests.integration.mlflow_server import free_port, mlflow_server, new_store
from tests.signing_keys import KeyPair, write_key_pair

SENTENCE = "The man sees the red car."


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return write_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def original(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory, keys: KeyPair) -> Path:
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("signed") / "bundle"))
    assert main(["sign", str(path), "--private-key", str(keys.private)]) == 0
    return path


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "signed"))


@pytest.fixture
def unsigned(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "unsigned"))


@pytest.fixture(params=["sqlite", "server"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "server":
        return str(request.getfixturevalue("mlflow_server_uri"))
    return new_store(tmp_path / "mlflow.db")


@pytest.fixture(scope="module")
def mlflow_server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as server:
        yield server.uri


@pytest.fixture
def key_configured(keys: KeyPair, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(keys.public))
    return keys.public


def run(uri: str, *arguments: str | Path) -> int:
    return main([*map(str, arguments), "--tracking-uri", uri])


def test_a_version_registered_unsigned_gets_the_signature_that_is_made_later(
    uri, unsigned, keys, tmp_path, monkeypatch, capsys
):
    reference = f"{open_unsigned(unsigned).manifest.name}@candidate"
    run(uri, "register", unsigned)
    run(uri, "fetch", reference, "--out", tmp_path / "early")

    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(keys.public))
    with pytest.raises(BundleError, match="is not signed"):
        run(uri, "register", unsigned)
    with pytest.raises(BundleError, match="is not signed"):
        run(uri, "fetch", reference, "--out", tmp_path / "refused")
    with pytest.raises(BundleError, match="is not signed"):
        run(uri, "fetch", reference, "--out", tmp_path / "early")
    assert not list((tmp_path / "refused").glob("*"))

    run(uri, "sign", unsigned, "--private-key", keys.private)
    capsys.readouterr()
    for _ in range(2):
        run(uri, "register", unsigned)
        assert capsys.readouterr().out.startswith("registered: tiny-en-de/1 ")
    for folder in ("early", "late"):
        run(uri, "fetch", reference, "--out", tmp_path / folder)
        (fetched,) = (tmp_path / folder).iterdir()
        assert (fetched / SIGNATURE).read_bytes() == (unsigned / SIGNATURE).read_bytes()
    run(uri, "verify", reference, "--public-key", keys.public)
    assert f"signed by sha256:{fingerprint(keys.public)}" in capsys.readouterr().out


@pytest.mark.usefixtures("key_configured")
def test_a_configured_key_does_not_stand_in_the_way_of_training(tmp_path: Path):
    from tests.toy_corpus import write_toy_corpus
    from train.config.compose import compose_config
    from train.run.run_dir import RunDir
    from train.session import start

    def tracked(facts: Any) -> TrackedRun:
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        return TrackedRun.open(tracking_uri=uri, experiment="toy", run_name="toy", params={}, tags={})

    settings = [*write_toy_corpus(tmp_path), "train.max_steps=2", f"run_dir={tmp_path / 'run'}"]
    assert start(compose_config(settings), tracked) == 0
    with pytest.raises(BundleError, match="is not signed"):
        run(f"sqlite:///{tmp_path}/mlflow.db", "register", tmp_path / "run")
    assert open_unsigned(RunDir(tmp_path / "run").bundle).manifest.scores


def test_signing_anew_with_another_key_reaches_the_registry_the_copies_and_the_bento_store(
    signed, keys, tmp_path, monkeypatch, capsys
):
    uri = new_store(tmp_path / "mlflow.db")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    folder = tmp_path / "another"
    folder.mkdir()
    others = write_key_pair(folder)
    run(uri, "register", signed)
    for folder_name in ("dist", "keyless"):
        run(uri, "fetch", "tiny-en-de@candidate", "--out", tmp_path / folder_name)
    tag = build_bento(open_bundle(signed))
    run(uri, "sign", signed, "--private-key", others.private)
    run(uri, "register", signed)
    run(uri, "fetch", "tiny-en-de@candidate", "--out", tmp_path / "keyless")
    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(others.public))
    run(uri, "fetch", "tiny-en-de@candidate", "--out", tmp_path / "dist")
    for copy in (*(tmp_path / "dist").iterdir(), *(tmp_path / "keyless").iterdir()):
        assert (copy / SIGNATURE).read_bytes() == (signed / SIGNATURE).read_bytes()
    assert build_bento(open_bundle(signed)) == tag
    stored = tmp_path / "bentoml" / "models" / tag.replace(":", "/") / "bundle" / SIGNATURE
    assert stored.read_bytes() == (signed / SIGNATURE).read_bytes()
    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(keys.public))
    with pytest.raises(BundleError, match="was made with the key"):
        run(uri, "fetch", "tiny-en-de@candidate", "--out", tmp_path / "dist")
    with pytest.raises(BundleError, match="was made with the key"):
        run(uri, "promote", "tiny-en-de", "candidate")
    capsys.readouterr()
    run(uri, "verify", "tiny-en-de@candidate", "--public-key", others.public)
    assert f"signed by sha256:{fingerprint(others.public)}" in capsys.readouterr().out
    with pytest.raises(BundleError, match="was made with the key"):
        run(uri, "verify", "tiny-en-de@candidate")


def test_a_signature_by_a_strangers_key_does_not_spoil_the_copy_that_servers_follow(
    signed, keys, tmp_path, monkeypatch
):
    uri, into, strangers = new_store(tmp_path / "mlflow.db"), tmp_path / "into", tmp_path / "strangers"
    strangers.mkdir()
    run(uri, "register", signed)
    now, looks = 0.0, 0

    def wait(_: float) -> bool:
        nonlocal now, looks
        now, looks = now + 1000, looks + 1
        if looks == 1:
            monkeypatch.delenv(PUBLIC_KEY_VARIABLE)
            run(uri, "sign", signed, "--private-key", write_key_pair(strangers).private)
            run(uri, "register", signed)
            monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(keys.public))
        return looks == 3

    monkeypatch.setenv(PUBLIC_KEY_VARIABLE, str(keys.public))
    follow("tiny-en-de", "candidate", into, every_s=1, tracking_uri=uri, wait=wait, clock=lambda: now)
    pointer = Pointer.read(into)
    assert pointer
    assert "was made with the key" in str(pointer.error)
    assert open_bundle(into / str(pointer.bundle)).manifest.digest == pointer.digest


def test_a_bundle_that_does_not_verify_is_not_signed(signed: Path, keys: KeyPair):
    before = (signed / SIGNATURE).read_bytes()
    (signed / "config.yaml").write_text("altered: true\n")
    with pytest.raises(BundleError, match="artifact digest mismatch"):
        main(["sign", str(signed), "--private-key", str(keys.private)])
    assert (signed / SIGNATURE).read_bytes() == before


def test_verify_needs_a_key_and_names_the_way_to_give_one(signed: Path, monkeypatch):
    monkeypatch.delenv(PUBLIC_KEY_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=r"give --public-key FILE or set DRAGOMAN_PUBLIC_KEY"):
        main(["verify", str(signed)])


@pytest.mark.usefixtures("key_configured")
def test_the_same_signed_bundle_makes_the_same_archive_with_its_signature_in_it(signed: Path, tmp_path: Path):
    first, second = (build_mar(open_bundle(signed), tmp_path / name) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.read(f"bundle/{SIGNATURE}") == (signed / SIGNATURE).read_bytes()


def test_torchserve_serves_a_signed_archive_and_refuses_an_unsigned_one(signed, unsigned, key_configured, tmp_path):
    mar = build_mar(open_bundle(signed), tmp_path / "dist")
    with TorchServeProcess(mar, log=tmp_path / "log") as server:
        answer = httpx.post(server.url, json={"q": SENTENCE}, timeout=60, trust_env=False)
        assert answer.status_code == 200
    stripped = without_signature(mar, tmp_path / "stripped.mar")
    with pytest.raises(UnavailableError, match=r"cannot load the model: .* is not signed: it has no model\.sig"):
        TorchServeProcess(stripped, log=tmp_path / "log")


def without_signature(mar: Path, path: Path) -> Path:
    with zipfile.ZipFile(mar) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(SIGNATURE):
                target.writestr(entry, source.read(entry))
    return path


def test_bento_serves_a_signed_bundle_and_refuses_an_altered_or_unsigned_one(
    signed, key_configured, tmp_path, monkeypatch
):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    tag = build_bento(open_bundle(signed))
    with BentoServer(tag, directory=tmp_path, log=tmp_path / "log") as server:
        answer = httpx.post(f"{server.url}/translate", json={"q": SENTENCE}, timeout=60, trust_env=False)
        assert answer.status_code == 200
    stored = tmp_path / "bentoml" / "models" / tag.replace(":", "/") / "bundle"
    reseal_with_another_beam(open_unsigned(stored))
    refused = serve(tag, tmp_path)
    assert refused.returncode == 78
    assert f"error: {stored} is not what was signed for the key {key_configured}" in refused.stderr
    (stored / SIGNATURE).unlink()
    refused = serve(tag, tmp_path)
    assert refused.returncode == 78
    assert f"error: {stored} is not signed" in refused.stderr
    assert "Traceback" not in refused.stderr


def reseal_with_another_beam(bundle: Bundle) -> None:
    from dragoman.bundle.manifest import Manifest

    path = bundle.path / "manifest.json"
    content = json.loads(path.read_text())
    content["options"]["decoding"]["num_beams"] += 1
    path.write_text(Manifest.from_json(json.dumps(content), origin="altered").sealed().to_json())
    open_unsigned(bundle.path)


def serve(tag: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--port", "1"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
