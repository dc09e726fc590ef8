"""TorchServe's settings: loopback addresses, one archive, one store, and ports that are free."""

import dataclasses
import json
import re
import socket
import zipfile
from pathlib import Path

import pytest

from deploy.torchserve.config import Archive, Ports, properties
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.store import open_bundle
from dragoman.errors import BundleError, ConfigError, DataError
from model_registry.packaging.mar import build_mar


@pytest.fixture
def manifest(tiny_bundle: Path) -> Manifest:
    path = tiny_bundle / "manifest.json"
    return Manifest.from_json(path.read_text(encoding="utf-8"), origin=str(path))


def _read(text: str) -> dict[str, str]:
    """Read keys and values as Java does, whose escapes are JSON's."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {key: json.loads(f'"{value}"') for key, _, value in (line.partition("=") for line in lines)}


def test_every_address_is_the_loopback_interface(manifest: Manifest) -> None:
    config = _read(properties(Archive(Path("a.mar"), manifest), Ports(), Path("/store")))

    addresses = {key: value for key, value in config.items() if key.endswith("_address")}
    assert len(addresses) == 5
    for value in addresses.values():
        assert re.fullmatch(r"(http://127\.0\.0\.1:\d+|127\.0\.0\.1)", value)


def test_the_doors_that_torchserve_leaves_open_are_shut(manifest: Manifest) -> None:
    config = _read(properties(Archive(Path("a.mar"), manifest), Ports(), Path("/store")))

    shut = ("enable_model_api", "install_py_dep_per_model", "enable_envvars_config", "use_env_allowed_urls")
    assert {key: config[key] for key in shut} == dict.fromkeys(shut, "false")
    assert config["load_models"] == "tiny-en-de=a.mar"


@pytest.mark.parametrize("store", ["/tmp/store", "/tmp/störe 1,2 (+)\\$&", "/tmp/東京"])
def test_only_archives_of_the_model_store_may_be_loaded(store: str, manifest: Manifest) -> None:
    text = properties(Archive(Path("a.mar"), manifest), Ports(), Path(store))
    config = _read(text)

    assert text.isascii()
    assert config["model_store"] == store
    assert "," not in config["allowed_urls"]
    # Java writes a character by its number as \x{e9}, Python as \u00e9.
    allowed = re.compile(
        re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: f"\\u{int(match[1], 16):04x}", config["allowed_urls"])
    )
    assert allowed.fullmatch(f"file://{store}/a.mar")
    for url in (
        "file:///tmp/other/a.mar",
        f"file://{store}/../a.mar",
        f"file://{store}-evil/a.mar",
        f"file://{store}/a.zip",
        f"http://host{store}/a.mar",
    ):
        assert not allowed.fullmatch(url)


def test_a_request_may_be_somewhat_larger_than_the_bundle_accepts(manifest: Manifest) -> None:
    config = _read(properties(Archive(Path("a.mar"), manifest), Ports(), Path("/store")))
    assert int(config["max_request_size"]) == manifest.limits["max_body_bytes"] + 1024 * 1024


def test_an_answer_may_be_as_large_as_answers_to_documents_become(manifest: Manifest) -> None:
    config = _read(properties(Archive(Path("a.mar"), manifest), Ports(), Path("/store")))
    assert int(config["max_response_size"]) == 2**31 - 1


def test_free_ports_are_free_and_differ() -> None:
    ports = Ports.free()
    ports.check()
    assert len(set(dataclasses.astuple(ports))) == 5


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as user:
        port = user.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use: .* --metrics-port"):
            dataclasses.replace(Ports.free(), metrics=port).check()


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_this_machines_is_named_and_not_taken_for_a_port_in_use(host: str) -> None:
    ports = Ports.free()
    with pytest.raises(ConfigError, match=rf"cannot listen on port {ports.inference} of {re.escape(host)}: \w+.*IPv4"):
        ports.check(host)


def test_a_port_given_twice_or_out_of_range_is_named() -> None:
    ports = Ports.free()
    with pytest.raises(ConfigError, match=f"the metrics port and the inference port are both {ports.inference}"):
        dataclasses.replace(ports, metrics=ports.inference).check()
    with pytest.raises(ConfigError, match="the metrics port must be from 1 to 65535, got 65536"):
        dataclasses.replace(ports, metrics=65536).check()


def test_an_archive_says_which_model_it_holds(tiny_bundle: Path, manifest: Manifest, tmp_path: Path) -> None:
    assert Archive.open(build_mar(open_bundle(tiny_bundle), tmp_path)).manifest == manifest


def test_what_is_no_archive_of_ours_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.mar: No such file.*python -m model_registry package"):
        Archive.open(tmp_path / "none.mar")
    (tmp_path / "text.mar").write_text("text")
    with pytest.raises(BundleError, match=r"text\.mar is not an archive with a bundle inside"):
        Archive.open(tmp_path / "text.mar")
    with zipfile.ZipFile(tmp_path / "other.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", "{}")
    with pytest.raises(BundleError, match=r"other\.mar is not an archive with a bundle inside"):
        Archive.open(tmp_path / "other.mar")
