"""Following of an alias: the model that a server serves, whatever it finds in the directory."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError, InferenceError
from dragoman.live.pointer import FOLLOW_VARIABLE, POINTER, Following, Pointer
from tests.tiny_model import write_tiny_bundle


@dataclasses.dataclass
class Loaded:
    """A model as far as following sees one."""

    bundle: Bundle
    fails: bool = False
    closed: bool = False

    def warm_up(self) -> None:
        if self.fails:
            raise InferenceError("it loads but cannot answer")

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Bundle:
    return open_bundle(write_tiny_bundle(tmp_path_factory.mktemp("other"), toy_sentences, seed=2))


@pytest.fixture
def packaged(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


class Server:
    """A server that looks again and again, and serves the models it gets; a second passes between two looks."""

    def __init__(self, folder: Path, packaged: Bundle, load: Callable[[Bundle], Any] = Loaded) -> None:
        self.now, self.loads = 0.0, 0
        self.serving = packaged.manifest
        self._load = load
        self.following = Following(folder, packaged.manifest, self._count, clock=lambda: self.now)

    def look(self) -> Bundle | None:
        """Look, and serve the model that comes, if one does."""
        self.now += 1
        predictor = self.following.look(self.serving)
        if predictor is None:
            return None
        self.serving = predictor.bundle.manifest
        return predictor.bundle

    def _count(self, bundle: Bundle) -> Any:
        self.loads += 1
        return self._load(bundle)


@pytest.fixture
def server(packaged: Bundle, tmp_path: Path) -> Server:
    return Server(tmp_path, packaged)


def point_to(folder: Path, bundle: Bundle, **changes: Any) -> None:
    """Write the pointer and a copy of the bundle, as a follower does; a test may damage the copy."""
    name = f"{bundle.manifest.name}-{bundle.manifest.version}"
    if not (folder / name).exists():
        (folder / name).mkdir()
        for file in bundle.path.rglob("*"):
            if file.is_file():
                copy = folder / name / file.relative_to(bundle.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    pointer = Pointer(reference="tiny-en-de@champion", bundle=name, digest=bundle.manifest.digest, checked_at=1e9)
    dataclasses.replace(pointer, **changes).write(folder)


def test_a_new_champion_is_given_once(server: Server, other: Bundle, tmp_path: Path) -> None:
    point_to(tmp_path, other)
    loaded = server.look()
    assert loaded is not None
    assert loaded.manifest == other.manifest
    assert server.look() is None
    assert (server.following.is_ok, server.following.checked_at) == (True, 1e9)


def test_the_bundle_that_is_served_already_is_not_loaded_again(
    server: Server, packaged: Bundle, tmp_path: Path
) -> None:
    point_to(tmp_path, packaged)
    assert server.look() is None
    assert server.following.is_ok


def test_going_back_gives_the_packaged_bundle_again(
    server: Server, packaged: Bundle, other: Bundle, tmp_path: Path
) -> None:
    for bundle in (other, packaged):
        point_to(tmp_path, bundle)
        loaded = server.look()
        assert loaded is not None
        assert loaded.manifest == bundle.manifest


def test_an_empty_directory_leaves_what_is_loaded_and_says_so_once(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert server.look() is None
    assert server.look() is None
    assert not server.following.is_ok
    assert caplog.messages == [f"{tmp_path} holds no bundle yet; serving on what is loaded"]


def test_an_outage_of_the_registry_is_told_and_the_last_bundle_served(
    server: Server, other: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    point_to(tmp_path, other, error="http://127.0.0.1:5000 does not answer")
    assert server.look() is not None
    assert not server.following.is_ok
    assert caplog.messages == [
        f"serving tiny-en-de-{other.manifest.version}, the last bundle that was verified: "
        "http://127.0.0.1:5000 does not answer"
    ]


def test_a_damaged_bundle_is_refused_until_it_is_whole(
    server: Server, other: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    point_to(tmp_path, other)
    weights = next(tmp_path.glob("tiny-en-de-*/model/model.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    assert server.look() is None
    assert not server.following.is_ok
    assert "artifact digest mismatch" in caplog.text
    assert str(weights) in caplog.text

    weights.write_bytes(whole)
    assert until_served(server) == 1


def until_served(server: Server) -> int:
    """Count the seconds until a look returns a model."""
    began = server.now
    while server.look() is None:
        assert server.now < began + 1_000
    return int(server.now - began)


def test_a_bundle_that_cannot_answer_is_loaded_less_and_less_often(
    packaged: Bundle, other: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(tmp_path, packaged, lambda bundle: Loaded(bundle, fails=True))
    point_to(tmp_path, other)
    for _ in range(700):
        assert server.look() is None
        assert not server.following.is_ok
    # After 1, 2, 4 … 256 and 300 seconds: ten attempts and not seven hundred, told once.
    assert server.loads == 10
    assert len(caplog.messages) == 1
    # Another bundle is tried at once.
    server._load = Loaded
    point_to(tmp_path, packaged)
    server.serving = other.manifest
    assert until_served(server) == 1


def test_an_error_that_nobody_foresaw_leaves_what_is_loaded(
    packaged: Bundle, other: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def load(bundle: Bundle) -> Any:
        raise PermissionError(13, "Permission denied", str(bundle.path / "model" / "model.safetensors"))

    server = Server(tmp_path, packaged, load)
    point_to(tmp_path, other)
    assert server.look() is None
    assert not server.following.is_ok
    assert "PermissionError(13, 'Permission denied')" in caplog.text
    assert "Traceback" in caplog.text


def test_a_bundle_other_than_the_pointer_says_is_refused(
    server: Server, other: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    point_to(tmp_path, other, digest="0" * 64)
    assert server.look() is None
    assert f"says {'0' * 64}" in caplog.text


def test_a_model_of_another_name_is_refused(
    server: Server, tmp_path: Path, toy_sentences: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "made").mkdir()
    stranger = open_bundle(write_tiny_bundle(tmp_path / "made", toy_sentences, name="tiny-en-fr"))
    point_to(tmp_path, stranger)
    assert server.look() is None
    assert "has the name tiny-en-fr, and this server was built for tiny-en-de" in caplog.text


def test_a_model_that_cannot_answer_is_freed_and_not_served(packaged: Bundle, other: Bundle, tmp_path: Path) -> None:
    made: list[Any] = []

    def load(bundle: Bundle) -> Any:
        made.append(Loaded(bundle, fails=True))
        return made[-1]

    point_to(tmp_path, other)
    assert Server(tmp_path, packaged, load).look() is None
    assert made[0].closed


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"reference": "a@b", "bundle": "../elsewhere"}', '{"reference": "a@b", "of": 1}', "\udcff"],
)
def test_a_pointer_that_is_none_is_refused(
    text: str, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / POINTER).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match="does not say which bundle to serve"):
        Pointer.read(tmp_path)
    assert server.look() is None
    assert str(tmp_path / POINTER) in caplog.text


def test_a_pointer_is_read_as_it_was_written(tmp_path: Path) -> None:
    pointer = Pointer(reference="a@champion", bundle="a-1", digest="f" * 64, checked_at=1.5, error="größer")
    pointer.write(tmp_path)
    assert Pointer.read(tmp_path) == pointer
    assert json.loads((tmp_path / POINTER).read_text(encoding="utf-8"))["error"] == "größer"


def test_nothing_is_followed_unless_the_environment_says_so(
    packaged: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load: Callable[[Bundle], Any] = Loaded
    monkeypatch.delenv(FOLLOW_VARIABLE, raising=False)
    assert Following.configured(packaged.manifest, load) is None
    monkeypatch.setenv(FOLLOW_VARIABLE, str(tmp_path))
    assert Following.configured(packaged.manifest, load) is not None
    monkeypatch.setenv(FOLLOW_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=f"{FOLLOW_VARIABLE} must name a directory, .*nowhere is none"):
        Following.configured(packaged.manifest, load)


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
