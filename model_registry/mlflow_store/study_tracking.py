"""A search in MLflow: the study is a run, each planned trial a run below it, whoever works on it and however often."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from model_registry.mlflow_store.connection import connect, explained, resolve_uri
from model_registry.mlflow_store.new_run import create_run_once
from model_registry.mlflow_store.tracking import PARAMS_PER_REQUEST, TrackedRun, experiment_id

PARENT_TAG = "mlflow.parentRunId"
LONGEST_PARAM = 6000
# Killed trials are those that were pruned, or that nobody took up again after their worker died.
STATUSES = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "KILLED", "WAITING": "SCHEDULED"}


class TrialFacts(Protocol):
    """What a storage says of one planned trial."""

    @property
    def number(self) -> int:
        """The number of the attempt that counts."""
        ...

    @property
    def state(self) -> str:
        """WAITING, RUNNING, COMPLETE, PRUNED or FAIL."""
        ...

    @property
    def retries(self) -> int:
        """How many attempts died before."""
        ...

    @property
    def values(self) -> Mapping[str, float]:
        """The objectives of a complete trial, the first one first."""
        ...

    @property
    def error(self) -> str | None:
        """What it failed of by itself."""
        ...


class StudyFacts(Protocol):
    """How a study stands."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Trials by state."""
        ...

    @property
    def finished(self) -> int:
        """Trials that have ended."""
        ...

    @property
    def best_number(self) -> int | None:
        """The best trial so far."""
        ...

    @property
    def best_values(self) -> Mapping[str, float]:
        """Its objectives."""
        ...


class TrackedTrial(TrackedRun):
    """The run of a trial while it is being written."""

    def abandon(self) -> None:
        """Stop writing, and leave the run as it is."""
        self._stop_monitor()
        self._outbox.close(patience_seconds=0)


class TrackedStudy:
    """The runs of a study. Runs are found by their tags, so that nobody who is killed leaves one that nobody knows."""

    def __init__(self, *, tracking_uri: str | None, experiment: str) -> None:
        self._uri, self._experiment = resolve_uri(tracking_uri), experiment
        self._name = self._experiment_id = self._parent_id = ""
        self._connected: MlflowClient | None = None

    @property
    def _client(self) -> MlflowClient:
        assert self._connected is not None, "open_study comes first"
        return self._connected

    def open_study(self, *, name: str, token: str, facts: Mapping[str, object]) -> str:
        """Find or make the study's run, and mark it running; only one process at a time may do this."""
        self._connected, self._name = connect(self._uri), name
        with explained(self._uri):
            self._experiment_id = experiment_id(self._client, self._experiment)
            found = self._search(f"tags.study_token = '{token}'")
            if found:
                self._parent_id = str(found[0].info.run_id)
                self._client.update_run(self._parent_id, status="RUNNING")
                return self._parent_id
            tags = {"kind": "study", "study": name, "study_token": token}
            run = create_run_once(self._client, self._experiment_id, tags=tags, run_name=name)
            self._parent_id = str(run.info.run_id)
            self._log_params(self._parent_id, {key: _text(value) for key, value in facts.items()})
        return self._parent_id

    def open_trial(self, *, planned: int, number: int, retries: int, params: Mapping[str, object]) -> TrackedTrial:
        """Find or make the run of a planned trial, and go on writing it: what it holds is not written twice.

        Only one process at a time may do this, as with ``settle``.
        """
        with explained(self._uri):
            found = self._children(f" and tags.slot = '{planned}'")
            run_id = str(found[0].info.run_id) if found else self._create_trial(planned, number)
            # Once more for a run whose maker was killed before it had them; equal ones change nothing.
            self._log_params(run_id, params)
            state = {"trial_state": "RUNNING", "trial_number": str(number), "retries": str(retries)}
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in state.items()])
        return TrackedTrial.open(
            tracking_uri=self._uri, experiment=self._experiment, run_name="", params={}, tags={}, run_id=run_id
        )

    def running(self) -> set[int]:
        """The planned trials whose runs say that somebody writes them."""
        with explained(self._uri):
            return {int(run.data.tags["slot"]) for run in self._children() if _is_open(run)}

    def settle(self, states: Mapping[int, TrialFacts]) -> None:
        """Make runs of trials say what became of these; an objective is a metric of complete trials alone."""
        if not states:
            return
        with explained(self._uri):
            # All runs of a planned trial: should there be two, neither is to stay open.
            for run in self._children():
                facts = states.get(int(run.data.tags["slot"]))
                if facts is not None and facts.state != "RUNNING":
                    self._settle(run, facts)

    def summarize(self, summary: StudyFacts) -> None:
        """The study's curves: the best objectives and the trials by state, against the number of ended trials."""
        now = int(time.time() * 1000)
        values = {f"trials_{state.lower()}": float(count) for state, count in summary.counts.items()}
        values |= {f"best_{name}": value for name, value in summary.best_values.items()}
        tags = [] if summary.best_number is None else [RunTag("best_trial", str(summary.best_number))]
        with explained(self._uri):
            self._client.log_batch(
                self._parent_id,
                metrics=[Metric(name, value, now, summary.finished) for name, value in values.items()],
                tags=tags,
                synchronous=True,
            )

    def finish(self, *, waiting: int, files: Sequence[Path]) -> None:
        """Store the study's results and end its run, unless trials wait for somebody to go on."""
        with explained(self._uri):
            for path in files:
                self._client.log_artifact(self._parent_id, str(path))
            if waiting:
                self._client.update_run(self._parent_id, status="SCHEDULED")
            else:
                self._client.set_terminated(self._parent_id, "FINISHED")

    def _create_trial(self, planned: int, number: int) -> str:
        tags = {PARENT_TAG: self._parent_id, "kind": "trial", "study": self._name, "slot": str(planned)}
        run_name = f"{self._name}-trial-{number:04d}"
        run = create_run_once(self._client, self._experiment_id, tags=tags, run_name=run_name)
        return str(run.info.run_id)

    def _settle(self, run: Run, facts: TrialFacts) -> None:
        run_id, now = run.info.run_id, int(time.time() * 1000)
        tags = {"trial_state": facts.state, "trial_number": str(facts.number), "retries": str(facts.retries)}
        if facts.error is not None:
            tags["error"] = facts.error
        metrics = {}
        if facts.state == "COMPLETE" and "objective" not in run.data.metrics:
            metrics = {**facts.values, "objective": next(iter(facts.values.values()))}
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
            synchronous=True,
        )
        status = "FAILED" if facts.error is not None else STATUSES[facts.state]
        if run.info.status != status:
            self._set_status(run_id, status)

    def _set_status(self, run_id: str, status: str) -> None:
        if status == "SCHEDULED":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status)

    def _log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        entries = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in params.items()]
        for start in range(0, len(entries), PARAMS_PER_REQUEST):
            self._client.log_batch(run_id, params=entries[start : start + PARAMS_PER_REQUEST])

    def _children(self, more: str = "") -> list[Run]:
        return self._search(f"tags.`{PARENT_TAG}` = '{self._parent_id}' and tags.kind = 'trial'{more}")

    def _search(self, condition: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page: Any = self._client.search_runs([self._experiment_id], condition, page_token=token)
            found += page
            token = page.token
            if not token:
                return sorted(found, key=lambda run: run.info.start_time)


def _is_open(run: Run) -> bool:
    return "RUNNING" in (run.info.status, run.data.tags.get("trial_state"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
