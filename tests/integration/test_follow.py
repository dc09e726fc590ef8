"""The follower against a real registry: the state of the directory after each kind of event."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, OutputError
from dragoman.live.pointer import Pointer
from model_registry.command_line import main
from model_registry.versions.following import follow
from model_registry.versions.registry import Registry
from tests.integration.conftest import MakeBundle
from tests.integration.fault_proxy import FaultProxy
from tests.integration.mlflow_server import Server, free_port

Step = Callable[[], object]


@pytest.fixture
def client(sqlite_uri: str) -> MlflowClient:
    return Registry.open(sqlite_uri, create=True).client


def _follow(name: str, into: Path, uri: str, *steps: Step) -> list[Pointer | None]:
    """Return the pointer after the first look and after each step, with the pauses between them."""
    pointers: list[Pointer | None] = []
    remaining = list(steps)

    def wait(_: float) -> bool:
        pointers.append(Pointer.read(into))
        if remaining:
            remaining.pop(0)()
        return len(pointers) > len(steps)

    follow(name, "champion", into, every_s=1, tracking_uri=uri, wait=wait)
    return pointers


def _named(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}-{bundle.manifest.version}"


def _three(client: MlflowClient, make_bundle: MakeBundle) -> tuple[str, list[Bundle], Callable[[int], Step]]:
    """Register three versions, and return a function that makes one of them champion."""
    bundles = [make_bundle(chrf) for chrf in (50.0, 51.0, 52.0)]
    name = bundles[0].manifest.name
    for bundle in bundles:
        Registry(client).register(bundle)

    def champion(number: int) -> Step:
        return lambda: client.set_registered_model_alias(name, "champion", str(number))

    return name, bundles, champion


def test_the_directory_follows_the_alias_and_keeps_the_bundle_before(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    pointers = _follow(name, tmp_path / "into", sqlite_uri, champion(2), champion(3), champion(2))

    assert [pointer and pointer.bundle for pointer in pointers] == [_named(bundles[place]) for place in (0, 1, 2, 1)]
    assert all(pointer and pointer.error is None and pointer.checked_at > 0 for pointer in pointers)
    kept = sorted(folder.name for folder in (tmp_path / "into").iterdir() if folder.is_dir())
    assert kept == sorted(_named(bundles[place]) for place in (1, 2))
    assert open_bundle(tmp_path / "into" / kept[0])


def test_an_alias_that_is_not_there_yet_is_waited_for(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    before, after = _follow(name, tmp_path / "into", sqlite_uri, champion(1))
    assert before
    assert before.bundle is None
    assert "has no version 'champion'" in str(before.error)
    assert after
    assert (after.bundle, after.error) == (_named(bundles[0]), None)


def test_an_outage_leaves_the_last_verified_bundle_with_its_reason(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    (first,) = _follow(name, tmp_path / "into", sqlite_uri)
    (second,) = _follow(name, tmp_path / "into", f"http://127.0.0.1:{free_port()}")
    assert first
    assert second
    assert second.error
    assert (second.bundle, second.checked_at) == (_named(bundles[0]), first.checked_at)


def test_a_copy_that_was_damaged_is_fetched_again_at_the_next_start(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    _follow(name, tmp_path / "into", sqlite_uri)
    copy = tmp_path / "into" / _named(bundles[0])
    (copy / "config.yaml").write_text("altered")
    (tmp_path / "into" / f".{_named(bundles[1])}.killed").mkdir()
    (again,) = _follow(name, tmp_path / "into", sqlite_uri)
    assert again
    assert again.error is None
    assert open_bundle(copy).manifest == bundles[0].manifest
    assert not list((tmp_path / "into").glob(".*killed"))


def test_a_bundle_damaged_in_the_store_never_reaches_the_servers_and_is_asked_for_less_often(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    source = Path(client.get_model_version_download_uri(name, "2").removeprefix("file://"))
    stored = next(source.rglob("config.yaml"))
    whole = stored.read_bytes()
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 1:
            stored.write_bytes(b"altered")
            champion(2)()
        if len(pauses) == 3:
            pointer = Pointer.read(tmp_path / "into")
            assert pointer
            assert pointer.bundle == _named(bundles[0])
            assert "is damaged" in str(pointer.error)
            assert not (tmp_path / "into" / _named(bundles[1])).exists()
            stored.write_bytes(whole)
        return len(pauses) == 4

    follow(name, "champion", tmp_path / "into", every_s=1, tracking_uri=sqlite_uri, wait=wait)
    assert pauses == [1, 2, 4, 1]
    last = Pointer.read(tmp_path / "into")
    assert last
    assert (last.bundle, last.error) == (_named(bundles[1]), None)


def test_a_copy_that_is_damaged_while_the_follower_runs_is_fetched_again_within_minutes(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    copy, now, looks = tmp_path / "into" / _named(bundles[0]), 0.0, 0

    def wait(_: float) -> bool:
        nonlocal now, looks
        now, looks = now + 100, looks + 1
        if looks == 1:
            (copy / "config.yaml").write_text("altered")
        if looks < 4:
            assert (copy / "config.yaml").read_text() == "altered"
        return looks == 4

    follow(name, "champion", tmp_path / "into", every_s=1, tracking_uri=sqlite_uri, wait=wait, clock=lambda: now)
    assert open_bundle(copy).manifest == bundles[0].manifest


def test_what_the_registry_says_never_names_a_directory_outside(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    victim = tmp_path / "victim"
    victim.mkdir()

    def damage() -> None:
        client.set_model_version_tag(name, "2", "bundle_version", f"{bundles[0].manifest.version}/../../victim")
        champion(2)()

    _, pointer = _follow(name, tmp_path / "into", sqlite_uri, damage)
    assert victim.is_dir()
    assert pointer
    assert pointer.bundle == _named(bundles[0])
    assert f"the tags of {name}/2 are damaged" in str(pointer.error)


def test_only_bundles_are_removed_from_the_directory(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, _, champion = _three(client, make_bundle)
    champion(1)()
    others = [tmp_path / "into" / f"{name}-{what}" for what in ("backup", "fr-0123456789ab")]
    for other in others:
        other.mkdir(parents=True)
    _follow(name, tmp_path / "into", sqlite_uri, champion(2), champion(3))
    assert all(other.is_dir() for other in others)


def test_an_error_that_nobody_foresaw_is_written_down_and_the_follower_goes_on(
    client: MlflowClient, sqlite_uri: str, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, bundles, champion = _three(client, make_bundle)
    champion(1)()
    fetch = Registry.fetch
    failing = [RuntimeError("of a library behind the artifact store")]

    def failing_once(*arguments: object) -> Bundle:
        if failing:
            raise failing.pop()
        return fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "fetch", failing_once)
    before, after = _follow(name, tmp_path / "into", sqlite_uri, lambda: None)
    assert before
    assert "of a library behind the artifact store" in str(before.error)
    assert after
    assert (after.bundle, after.error) == (_named(bundles[0]), None)


def test_a_look_at_the_registry_is_one_request_however_many_versions_there_are(
    server: Server, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    registry = Registry.open(server.uri)
    name, bundles, champion = _three(registry.client, make_bundle)
    champion(1)()
    requests: list[str] = []
    with FaultProxy(server.uri).running() as proxy:

        def count(method: str, path: str) -> bool:
            requests.append(f"{method} {path.partition('?')[0]}")
            return False

        proxy.fail = count
        looks: list[list[str]] = []

        def look() -> None:
            looks.append(requests.copy())
            requests.clear()

        pointers = _follow(name, tmp_path / "into", proxy.uri, look, look, look, look)
        look()
    assert [pointer and pointer.bundle for pointer in pointers] == [_named(bundles[0])] * 5
    assert looks[1:] == [["GET /api/2.0/mlflow/registered-models/alias"]] * 4


def test_an_alias_that_is_not_there_yet_costs_one_request_a_look_as_well(
    server: Server, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    name, _, _ = _three(Registry.open(server.uri).client, make_bundle)
    requests: list[str] = []
    with FaultProxy(server.uri).running() as proxy:
        proxy.fail = lambda method, path: bool(requests.append(path))
        _follow(name, tmp_path / "into", proxy.uri, requests.clear, lambda: None)
    assert len(requests) == 2


def test_a_server_that_comes_back_is_followed_again(server: Server, make_bundle: MakeBundle, tmp_path: Path) -> None:
    registry = Registry.open(server.uri)
    name, bundles, champion = _three(registry.client, make_bundle)
    champion(1)()
    with FaultProxy(server.uri).running() as proxy:

        def fail(state: bool) -> Step:
            def step() -> None:
                proxy.fail = lambda method, path: state
                champion(2)()

            return step

        before, during, after = _follow(name, tmp_path / "into", proxy.uri, fail(True), fail(False))
    assert before
    assert during
    assert after
    assert before.error is None
    assert (during.bundle, bool(during.error)) == (_named(bundles[0]), True)
    assert (after.bundle, after.error) == (_named(bundles[1]), None)


def test_two_followers_do_not_share_a_directory(sqlite_uri: str, tmp_path: Path) -> None:
    def second() -> None:
        with pytest.raises(ConfigError, match="another process follows into"):
            _follow("toy", tmp_path / "into", sqlite_uri)

    _follow("toy", tmp_path / "into", sqlite_uri, second)


def test_a_directory_that_cannot_be_made_is_told_at_once(sqlite_uri: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write into .*/file/into"):
        _follow("toy", tmp_path / "file" / "into", sqlite_uri)


def test_a_tracking_uri_that_is_none_ends_the_follower(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown kind"):
        _follow("toy", tmp_path / "into", "ftp://example.com")


@pytest.mark.parametrize("target", ["toy", "toy/3", "@champion", "toy@", "../toy@champion"])
def test_only_an_alias_can_be_followed(target: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not NAME@ALIAS"):
        main(["follow", target, "--into", str(tmp_path)])


@pytest.mark.parametrize("seconds", ["0", "-1", "inf", "nan", "soon"])
def test_the_pause_is_a_positive_number(seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["follow", "toy@champion", "--into", str(tmp_path), "--every", seconds])
    assert f"invalid number of seconds value: '{seconds}'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
