"""The archive for TorchServe: the same bytes each time, the bundle unchanged inside, and nothing left over."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError, OutputError
from model_registry.packaging.mar import MODEL_CONFIG, build_mar
from model_registry.packaging.mar_config import load_model_config
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def mar(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mar(bundle, tmp_path_factory.mktemp("dist"))


@pytest.fixture
def unpacked(mar: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(mar) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_building_twice_gives_the_same_bytes_wherever_and_whenever(mar: Path, bundle: Bundle, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a, b"
    shutil.copytree(bundle.path, elsewhere / "bundle")
    for file in elsewhere.rglob("*"):
        os.utime(file, (1e9, 1e9))
        if file.is_file():
            file.chmod(0o600)

    again = build_mar(open_bundle(elsewhere / "bundle"), elsewhere / "dist")

    assert again.name == mar.name
    assert again.read_bytes() == mar.read_bytes()


def test_the_archive_is_named_after_the_bundle(mar: Path, bundle: Bundle, unpacked: Path) -> None:
    assert mar.name == f"{bundle.manifest.name}-{bundle.manifest.version}.mar"
    assert json.loads((unpacked / "MAR-INF" / "MANIFEST.json").read_text())["model"] == {
        "modelName": bundle.manifest.name,
        "modelVersion": bundle.manifest.version,
        "handler": "seq2seq_handler.py",
        "configFile": "model-config.yaml",
        "requirementsFile": "requirements.txt",
    }


def test_the_bundle_inside_is_the_bundle(bundle: Bundle, unpacked: Path) -> None:
    assert open_bundle(unpacked / "bundle").manifest == bundle.manifest


def test_the_archive_holds_the_core_and_the_handler_and_nothing_else(unpacked: Path) -> None:
    def sources(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in (root / "dragoman").rglob("*.py")}

    assert sources(unpacked) == sources(ROOT)
    files = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    assert {str(path) for path in files if path.parts[0] not in ("bundle", "dragoman")} == {
        "MAR-INF/MANIFEST.json",
        "model-config.yaml",
        "requirements.txt",
        "seq2seq_handler.py",
    }
    assert {path.suffix for path in files if path.parts[0] == "dragoman"} == {".py"}


def test_building_leaves_nothing_beside_the_archive(mar: Path) -> None:
    assert list(mar.parent.iterdir()) == [mar]
    umask = os.umask(0)
    os.umask(umask)
    assert mar.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_bundle_that_changed_since_it_was_opened_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    weights = bundle.engine_dir("ct2-int8") / "model.bin"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(BundleError, match=r"artifact digest mismatch: .*model\.bin"):
        build_mar(bundle, tmp_path / "dist")
    assert list((tmp_path / "dist").iterdir()) == []


def test_a_file_that_was_added_since_the_bundle_was_opened_stays_out(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "run_me.py").write_text("print('hello')")

    with zipfile.ZipFile(build_mar(bundle, tmp_path / "dist")) as archive:
        assert not [name for name in archive.namelist() if name.endswith("run_me.py")]


def test_each_file_of_the_bundle_is_read_once_to_be_archived(tiny_bundle: Path, tmp_path: Path) -> None:
    code = f"""
import collections, pathlib, sys
from dragoman.bundle.store import open_bundle
from model_registry.packaging.mar import build_mar
bundle, read = open_bundle({str(tiny_bundle)!r}), collections.Counter()

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and "/engines/" in arguments[0] and "w" not in arguments[1]:
        read[arguments[0]] += 1

sys.addaudithook(note)
build_mar(bundle, pathlib.Path({str(tmp_path)!r}))
assert read, "nothing was read"
assert set(read.values()) == {{1}}, read
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_place_that_cannot_be_written_is_named(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "dist").write_text("a file, not a directory")
    with pytest.raises(OutputError, match=r"cannot write .*dist.*; choose a writable place"):
        build_mar(bundle, tmp_path / "dist")


def test_what_torchserve_would_ignore_in_its_model_configuration_is_an_error(tmp_path: Path) -> None:
    good = load_model_config(MODEL_CONFIG)
    config = {**good, "batchSize": "16", "maxBatchDelay": True, "minWorkers": 0, "deviceType": "tpu", "batch_size": 8}
    del config["responseTimeout"]
    path = tmp_path / "model-config.yaml"
    path.write_text(json.dumps(config))

    with pytest.raises(ConfigError) as caught:
        load_model_config(path)

    assert str(caught.value).startswith(f"{path}: ")
    for problem in (
        "batchSize must be a whole number, got '16'",
        "maxBatchDelay must be a whole number, got True",
        "minWorkers must be at least 1, got 0",
        "deviceType must be one of cpu, gpu, got 'tpu'",
        "batch_size is not a setting; the top level takes batchSize, deviceType,",
        "did you mean batchSize?",
        "responseTimeout is required and not set (at least 1)",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "must hold keys and values, got list"),
        ("a: [", "cannot read"),
        ("a: !!python/object:os.system {}", "cannot read"),
    ],
)
def test_a_model_configuration_that_is_none_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model-config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_model_config(path)


def test_more_least_than_most_workers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model-config.yaml"
    path.write_text(json.dumps({**load_model_config(MODEL_CONFIG), "minWorkers": 3}))
    with pytest.raises(ConfigError, match="minWorkers 3 is more than maxWorkers 2"):
        load_model_config(path)
