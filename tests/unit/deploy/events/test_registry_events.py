"""The receiver of registry events: what it refuses, what it keeps, and what it builds next."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from starlette.testclient import TestClient

from deploy.events.app import MAX_BODY_BYTES, Receiver, application, parse_move
from deploy.events.builder import Builder, pause_after
from deploy.events.journal import Event, Journal, now
from deploy.events.signature import AHEAD_S, ID_HEADER, MAX_AGE_LIMIT_S, SIGNATURE_HEADER, TIME_HEADER, sign_delivery
from deploy.run.commands import Finished, StepFailedError
from dragoman.errors import ConfigError, DataError

SECRET = b"a secret of the test"
NOW_S = 1_800_000_000
ID = "0b0c7f2e-4d3e-4e57-9c41-6a1f1f3f0001"


def move(name: str = "tiny-en-de", alias: str = "champion", version: str = "3", **changes: object) -> bytes:
    data = {"name": name, "alias": alias, "version": version}
    event = {"entity": "model_version_alias", "action": "created", "timestamp": "2026-11-21T12:00:00", "data": data}
    return json.dumps({**event, **changes}).encode()


def signed(body: bytes, *, delivery_id: str = ID, age_s: int = 0, secret: bytes = SECRET) -> dict[str, str]:
    timestamp = str(NOW_S - age_s)
    return {
        ID_HEADER: delivery_id,
        TIME_HEADER: timestamp,
        SIGNATURE_HEADER: sign_delivery(delivery_id, timestamp, body, secret=secret),
        "content-type": "application/json",
    }


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "state") as journal:
        yield journal


@pytest.fixture
def client(journal: Journal) -> Iterator[TestClient]:
    receiver = Receiver(
        journal=journal,
        secret=SECRET,
        max_age_s=300,
        is_building=lambda: True,
        report=lambda line: None,
        clock=lambda: float(NOW_S),
    )
    with TestClient(application(receiver), raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    response = client.post("/events", content=body, headers=signed(body) if headers is None else headers)
    return response.status_code, response.json()


def test_a_signed_move_of_the_champion_is_kept_before_it_is_answered(client: TestClient, tmp_path: Path):
    assert post(client, move()) == (202, {"status": "received", "delivery_id": ID})
    written = json.loads((tmp_path / "state" / "events" / f"{ID}.json").read_text())
    assert (written["model"], written["version"], written["state"]) == ("tiny-en-de", "3", "received")
    assert client.get("/events").json()["events"] == [written]


def test_the_signature_is_that_of_mlflow():
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = '{"data": {"name": "Größe"}}'
    theirs = _generate_hmac_signature("the secret", ID, "1800000000", body)
    assert sign_delivery(ID, "1800000000", body.encode(), secret=b"the secret") == theirs


def test_a_repeated_delivery_is_answered_and_ignored_also_after_a_restart(client, journal, tmp_path):
    assert post(client, move())[0] == 202
    assert post(client, move()) == (200, {"status": "repeated", "delivery_id": ID})
    journal.__exit__()
    with Journal(tmp_path / "state") as reopened:
        assert not reopened.accept(event(ID))


UNSIGNED = {
    "no signature": {SIGNATURE_HEADER: None},
    "an empty signature": {SIGNATURE_HEADER: ""},
    "another secret's signature": signed(move(), secret=b"another secret of the test"),
    "another body's signature": signed(move(version="4")),
    "a signature without its version": {SIGNATURE_HEADER: signed(move())[SIGNATURE_HEADER][3:]},
    "a signature that is not ASCII": {SIGNATURE_HEADER: "v1,é"},
    "no delivery id": {ID_HEADER: None},
    "another delivery id": {ID_HEADER: ID[:-1] + "2"},
    "a delivery id that is a path": signed(move(), delivery_id="../../etc/passwd"),
    "a delivery id with a dot": signed(move(), delivery_id="a.1"),
    "a delivery id without end": signed(move(), delivery_id="a" * 65),
    "no timestamp": {TIME_HEADER: None},
    "a timestamp that is no number": {TIME_HEADER: "now"},
    "a negative timestamp": {TIME_HEADER: "-1"},
    "a shifted timestamp": {TIME_HEADER: str(NOW_S - 1)},
    "a delivery of 301 seconds ago": signed(move(), age_s=301),
    "a delivery of the last century": signed(move(), age_s=NOW_S),
    "a delivery from the future": signed(move(), age_s=-60),
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_what_is_not_signed_by_us_and_now_is_refused(client: TestClient, journal: Journal, name: str):
    headers = {key: value for key, value in {**signed(move()), **UNSIGNED[name]}.items() if value is not None}
    raw = {key: value.encode("latin-1") for key, value in headers.items()}
    response = client.post("/events", content=move(), headers=raw)
    assert response.status_code == 401
    assert response.json()["code"] == "unauthorized"
    assert SECRET.decode() not in response.text
    assert journal.events() == []


@pytest.mark.parametrize("age_s", [300, 1, -5])
def test_deliveries_of_the_last_minutes_are_accepted(client: TestClient, age_s: int):
    assert post(client, move(), signed(move(), age_s=age_s))[0] == 202


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"[" * 30_000, 400, "malformed_json"),
        (b"[]", 400, "invalid_input"),
        (b"{}", 400, "invalid_input"),
        (b'{"data": 1}', 400, "invalid_input"),
        (move(version=3), 400, "invalid_input"),
        (move(version="3; rm"), 400, "invalid_input"),
        (move(version="\u0663"), 400, "invalid_input"),
        (move(name=None), 400, "invalid_input"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "body_too_large"),
    ],
)
def test_signed_nonsense_is_refused_in_the_form_of_the_contract(client, journal, body, status, code):
    answered = post(client, body)
    assert (answered[0], answered[1]["code"]) == (status, code)
    assert isinstance(answered[1]["error"], str)
    assert journal.events() == []


@pytest.mark.parametrize(
    "body",
    [
        move(alias="candidate"),
        move(alias="Champion"),
        move(action="deleted"),
        move(entity="prompt_alias"),
        move(entity={"a": 1}),
        move(name="--out=/etc"),
        move(name="a b; rm -rf"),
        move(name="../x"),
        move(name="Their Model"),
        move(name="a\n"),
    ],
)
def test_other_events_and_other_peoples_models_are_ignored(client, journal, body):
    status, answer = post(client, body)
    assert (status, answer["status"]) == (200, "ignored")
    assert answer["reason"]
    assert journal.events() == []


def test_a_body_that_announces_too_much_is_refused_unread(client: TestClient):
    body = move()
    answered = post(client, body, {**signed(body), "content-length": str(10**12)})
    assert (answered[0], answered[1]["code"]) == (413, "body_too_large")

    def endless() -> Iterator[bytes]:
        sent = 0
        while sent < 100 * MAX_BODY_BYTES:
            sent += 8192
            yield b" " * 8192

    response = client.post("/events", content=endless(), headers=signed(body))
    assert response.status_code == 413


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_another_content_type_is_refused(client: TestClient, content_type: str):
    status, answer = post(client, move(), {**signed(move()), "content-type": content_type})
    assert (status, answer["code"]) == (415, "unsupported_media_type")


def test_unknown_paths_and_methods_and_probes_have_the_form_of_the_contract(client: TestClient):
    assert client.get("/nothing").json()["code"] == "not_found"
    assert client.delete("/events").json()["code"] == "method_not_allowed"
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


def test_an_event_that_cannot_be_kept_is_asked_for_again(client: TestClient, tmp_path: Path):
    folder = tmp_path / "state" / "events"
    folder.rmdir()
    assert post(client, move())[0] == 503
    assert client.get("/readyz").status_code == 503
    folder.mkdir()
    assert post(client, move())[0] == 202


def test_a_prompt_by_the_name_of_a_model_is_no_model():
    assert parse_move(move(entity="prompt_alias")) == "the event is prompt_alias.created"


def event(delivery_id: str, model: str = "tiny", **changes: Any) -> Event:
    return dataclasses.replace(Event(delivery_id=delivery_id, model=model, version="1", received_at=now()), **changes)


def states(journal: Journal) -> dict[str, str]:
    return {event.delivery_id: event.state for event in journal.events()}


def test_moves_of_one_model_during_a_build_become_one_more_build(journal: Journal):
    journal.accept(event("a1"))
    building = journal.take()
    assert building is not None
    for delivery_id in ("a2", "a3", "a4"):
        journal.accept(event(delivery_id))
    journal.accept(event("b1", model="other"))
    journal.finish(dataclasses.replace(building, state="passed"))
    taken = [journal.take()]
    assert states(journal) == {
        "a1": "passed",
        "a2": "superseded",
        "a3": "superseded",
        "a4": "building",
        "b1": "received",
    }
    journal.finish(dataclasses.replace(taken[0], state="failed"))
    other = journal.take()
    assert other is not None
    assert other.delivery_id == "b1"


def test_what_was_being_built_when_the_process_was_killed_is_taken_up_again(tmp_path: Path):
    with Journal(tmp_path) as journal:
        journal.accept(event("a1"))
        journal.accept(event("b1", model="other"))
        journal.take()
        # Nothing more is written: so it is after kill -9.
    with Journal(tmp_path) as reopened:
        assert states(reopened) == {"a1": "building", "b1": "received"}
        again = reopened.take()
        assert again is not None
        assert again.delivery_id == "a1"


def test_a_newer_move_supersedes_a_build_that_was_cut_off(tmp_path: Path):
    with Journal(tmp_path) as journal:
        journal.accept(event("a1"))
        journal.take()
        journal.accept(event("a2"))
    with Journal(tmp_path) as reopened:
        reopened.take()
        assert states(reopened) == {"a1": "superseded", "a2": "building"}


def test_a_closed_journal_gives_nothing_more(journal: Journal):
    journal.accept(event("a1"))
    journal.close()
    assert journal.take() is None
    assert states(journal) == {"a1": "received"}


def test_two_receivers_cannot_share_one_state(journal: Journal, tmp_path: Path):
    with pytest.raises(ConfigError, match="another receiver uses"):
        Journal(tmp_path / "state")


def test_a_damaged_event_is_named(tmp_path: Path):
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "x.json").write_text("{}")
    with pytest.raises(DataError, match=r"cannot read the event .*x\.json"):
        Journal(tmp_path)


def test_old_outcomes_are_forgotten_and_recent_ones_kept(journal: Journal, monkeypatch, tmp_path):
    monkeypatch.setattr("deploy.events.journal.KEPT", 2)
    for number in range(4):
        journal.finish(event(f"old{number}", state="passed", received_at=f"2020-01-01T00:00:0{number}"))
    journal.finish(event("pending", state="received", received_at="2020-01-01T00:00:00"))
    journal.accept(event("new"))
    assert set(states(journal)) == {"old2", "old3", "pending", "new"}
    assert {path.stem for path in (tmp_path / "state" / "events").iterdir()} == set(states(journal))


def test_whatever_could_be_delivered_again_is_remembered(journal: Journal, monkeypatch):
    monkeypatch.setattr("deploy.events.journal.KEPT", 0)
    oldest = datetime.now(UTC) - timedelta(seconds=MAX_AGE_LIMIT_S + AHEAD_S)
    journal.finish(event("old", state="passed", received_at=oldest.isoformat(timespec="microseconds")))
    journal.accept(event("new"))
    assert not journal.accept(event("old"))


def test_an_event_that_waits_holds_up_neither_other_models_nor_a_newer_event_of_its_own(journal: Journal):
    journal.accept(event("a1"))
    waiting = journal.take()
    assert waiting is not None
    journal.postpone(waiting, pause_s=3600)
    journal.accept(event("b1", model="other"))
    taken = journal.take()
    assert taken is not None
    assert taken.delivery_id == "b1"
    journal.finish(dataclasses.replace(taken, state="passed"))
    journal.accept(event("a2"))
    taken = journal.take()
    assert taken is not None
    assert taken.delivery_id == "a2"
    assert states(journal) == {"a1": "superseded", "a2": "building", "b1": "passed"}


def test_an_event_that_waits_is_given_again_after_its_pause_and_at_once_after_a_restart(tmp_path: Path):
    with Journal(tmp_path) as journal:
        journal.accept(event("a1"))
        for pause_s in (0.2, 3600):
            begun, taken = time.monotonic(), journal.take()
            assert taken is not None
            journal.postpone(taken, pause_s)
        assert time.monotonic() - begun >= 0.19
        assert states(journal) == {"a1": "waiting"}
    with Journal(tmp_path) as reopened:
        again = reopened.take()
        assert again is not None
        assert again.delivery_id == "a1"


class ScriptedBuilder(Builder):
    """A builder whose commands end as a test says: with what they print, or with an exit status."""

    ends: Callable[[str], str | int]

    def _step(self, module: str, *arguments: str, log: BinaryIO) -> Finished:
        end = self.ends(" ".join([module, *arguments]))
        if isinstance(end, int):
            raise StepFailedError(f"ended with status {end}", module=module, exit_status=end)
        return Finished(status=0, output=end)


FETCHED = "version: tiny/4\nbundle: somewhere/tiny-0a1b2c3d4e5f\n"


@contextmanager
def builder(journal: Journal, tmp_path: Path, ends: Callable[[str], str | int]) -> Iterator[list[str]]:
    lines: list[str] = []
    built = ScriptedBuilder(journal, out=tmp_path, work=tmp_path / "work", environment={}, report=lines.append)
    built.ends = ends
    built.start()
    try:
        yield lines
    finally:
        built.stop()


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)


def finished(journal: Journal) -> Event:
    until(lambda: journal.events()[0].state not in ("received", "building", "waiting"))
    return journal.events()[0]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.events.builder.FIRST_PAUSE_S", 0.01)


@pytest.mark.usefixtures("short_pauses")
def test_an_outage_of_mlflow_loses_no_champion(journal: Journal, tmp_path: Path):
    fetches: Iterator[str | int] = iter([69, 69, 69, 69, FETCHED])
    journal.accept(event("a1"))
    with builder(journal, tmp_path, lambda command: next(fetches) if " fetch " in command else "") as lines:
        outcome = finished(journal)
    assert (outcome.state, outcome.postponed, outcome.reason) == ("passed", 4, None)
    assert "ended with status 69; trying again in 0.01 seconds" in lines[1]


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize(
    ("step", "status", "attempts"), [(" fetch ", 78, 1), ("deploy.conformance", 1, 1), ("deploy.conformance", 69, 3)]
)
def test_what_is_no_outage_of_mlflow_ends_an_event(journal, tmp_path, step, status, attempts):
    commands: list[str] = []

    def ends(command: str) -> str | int:
        commands.append(command)
        return status if step in command else FETCHED

    journal.accept(event("a1"))
    with builder(journal, tmp_path, ends):
        outcome = finished(journal)
    assert (outcome.state, outcome.reason) == ("failed", f"ended with status {status}")
    assert len([command for command in commands if step in command]) == attempts
    assert not [command for command in commands if " package " in command]


def test_pauses_grow_to_ten_minutes_and_no_further():
    assert [pause_after(times) for times in (1, 2, 3, 6, 7, 100_000)] == [10, 20, 40, 320, 600, 600]


def test_an_event_says_which_version_was_champion_when_it_was_built(journal: Journal, tmp_path: Path):
    journal.accept(event("a1", version="3"))
    with builder(journal, tmp_path, lambda command: FETCHED if " fetch " in command else "") as lines:
        outcome = finished(journal)
    assert (outcome.version, outcome.built_version, outcome.bundle) == ("3", "4", "0a1b2c3d4e5f")
    assert "version 4, bundle 0a1b2c3d4e5f, is published" in lines[-1]


@pytest.mark.usefixtures("short_pauses")
def test_a_journal_that_cannot_be_written_for_a_while_stops_neither_the_builder_nor_the_event(journal, tmp_path):
    folder, aside = tmp_path / "state" / "events", tmp_path / "aside"
    fetched = threading.Event()

    def ends(command: str) -> str:
        if " package " in command:
            folder.rename(aside)
            fetched.set()
        return FETCHED

    journal.accept(event("a1"))
    folder.rename(aside)
    with builder(journal, tmp_path, ends) as lines:
        for _ in ("to begin the event", "to end it"):
            until(lambda: lines and "cannot write" in lines[-1])
            aside.rename(folder)
            lines.clear()
            until(lambda: fetched.is_set())
        assert finished(journal).state == "passed"
    assert json.loads((folder / "a1.json").read_text())["state"] == "passed"
