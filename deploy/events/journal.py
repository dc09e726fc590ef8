"""The deliveries and their outcomes: one JSON file an event, written before the delivery is answered.

A file outlives the process: an event that was accepted and not finished when it ended, however it ended, is pending
again when the journal is opened the next time, and a delivery that comes twice is known.

    received ──► building ──► passed, failed
        │        ▲   │
        │        │   └──► waiting (an outage put it off)
        │        └─────────┤
        └──────────────────┴──► superseded by a newer event of its model
"""

import dataclasses
import fcntl
import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from deploy.events.signature import MAX_AGE_LIMIT_S
from dragoman import atomic
from dragoman.errors import ConfigError, DataError, OutputError

State = Literal["received", "building", "waiting", "passed", "failed", "superseded"]
PENDING: tuple[State, ...] = ("received", "building", "waiting")
# Finished events beyond this many are forgotten, oldest first, once they are too old to be accepted again anyway.
KEPT = 500
# Twice the age that a delivery may have, since the sender's clock counts for the one and ours for the other.
REMEMBERED = timedelta(seconds=2 * MAX_AGE_LIMIT_S)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A move of ``champion`` to ``version``, and its outcome.

    ``built_version`` was champion by the time of the build, ``bundle`` is the version of its bundle, and
    ``postponed`` how often an outage has put the build off.
    """

    delivery_id: str
    model: str
    version: str
    received_at: str
    state: State = "received"
    started_at: str | None = None
    finished_at: str | None = None
    built_version: str | None = None
    bundle: str | None = None
    postponed: int = 0
    reason: str | None = None
    log: str | None = None

    @property
    def order(self) -> tuple[str, str]:
        """The order of arrival."""
        return self.received_at, self.delivery_id


def now() -> str:
    """Return this moment, to the microsecond, so that text sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Journal:
    """The events of one receiver. Threads may share it; a second process is refused."""

    def __init__(self, folder: Path) -> None:
        """Open or make the journal; raises OutputError, DataError for a damaged file, ConfigError when it is in use."""
        self._events_dir = folder / "events"
        self.logs = folder / "logs"
        try:
            for directory in (self._events_dir, self.logs):
                directory.mkdir(parents=True, exist_ok=True)
            self._lock_file = (folder / "lock").open("w")
        except OSError as error:
            raise OutputError(f"cannot use {folder}: {error.strerror or error}; choose a writable place") from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise ConfigError(f"another receiver uses {folder}; stop it, or give another --state directory") from error
        self._changed = threading.Condition()
        self._closing = False
        # Only of this process: the next one need not wait, and no clock that is set can make it wait for long.
        self._not_before: dict[str, float] = {}
        try:
            self._events = {event.delivery_id: event for event in map(_read, sorted(self._events_dir.glob("*.json")))}
        except DataError:
            self._lock_file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._lock_file.close()

    def accept(self, event: Event) -> bool:
        """Keep a new event, on disk before this returns; false when its delivery is known already."""
        with self._changed:
            if event.delivery_id in self._events:
                return False
            self._write(event)
            self._changed.notify_all()
            self._forget_the_oldest()
            return True

    def take(self) -> Event | None:
        """Wait for the next event to build, the newest event of the model that waits longest; None once closed.

        Only the champion of this moment matters, so the model's older events are superseded. Raises OutputError when
        the journal cannot be written; the event is then given the next time.
        """
        with self._changed:
            while not self._closing:
                # The newest event of each model, the model that waits longest first; None waits without a limit.
                pause_s: float | None = None
                for event in {event.model: event for event in self._pending()}.values():
                    left_s = self._not_before.get(event.delivery_id, 0.0) - time.monotonic()
                    if left_s <= 0:
                        return self._begin(event)
                    pause_s = left_s if pause_s is None else min(pause_s, left_s)
                self._changed.wait(pause_s)
            return None

    def postpone(self, event: Event, pause_s: float) -> None:
        """Let an event wait before ``take`` gives it again; a newer one of its model does not wait with it."""
        with self._changed:
            self._write(dataclasses.replace(event, state="waiting"))
            self._not_before[event.delivery_id] = time.monotonic() + pause_s

    def finish(self, event: Event) -> None:
        """Store an outcome."""
        with self._changed:
            self._write(event)

    def events(self) -> list[Event]:
        """Return all events, newest first."""
        with self._changed:
            return sorted(self._events.values(), key=lambda event: event.order, reverse=True)

    def close(self) -> None:
        """Let ``take`` return; unfinished events stay pending."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def is_writable(self) -> bool:
        """Tell whether a new event could be kept."""
        return os.access(self._events_dir, os.W_OK | os.X_OK)

    def _pending(self) -> list[Event]:
        # One builder takes events one by one: one that is marked as building here was left by a process that ended.
        found = (event for event in self._events.values() if event.state in PENDING)
        return sorted(found, key=lambda event: event.order)

    def _begin(self, newest: Event) -> Event:
        for event in self._pending():
            if event.model == newest.model and event.delivery_id != newest.delivery_id:
                reason = f"delivery {newest.delivery_id} came later"
                self._write(dataclasses.replace(event, state="superseded", finished_at=now(), reason=reason))
        log = str(self.logs / f"{newest.delivery_id}.log")
        building = dataclasses.replace(newest, state="building", started_at=now(), log=log)
        self._write(building)
        return building

    def _write(self, event: Event) -> None:
        atomic.write_json(self._events_dir / f"{event.delivery_id}.json", dataclasses.asdict(event))
        self._events[event.delivery_id] = event

    def _forget_the_oldest(self) -> None:
        limit = (datetime.now(UTC) - REMEMBERED).isoformat(timespec="microseconds")
        finished = sorted(
            (event for event in self._events.values() if event.state not in PENDING), key=lambda event: event.order
        )
        for event in finished[: max(0, len(finished) - KEPT)]:
            if event.received_at < limit:
                (self._events_dir / f"{event.delivery_id}.json").unlink(missing_ok=True)
                (self.logs / f"{event.delivery_id}.log").unlink(missing_ok=True)
                del self._events[event.delivery_id]


def _read(path: Path) -> Event:
    try:
        return Event(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read the event {path}: {error}; remove the file, or restore it") from error
