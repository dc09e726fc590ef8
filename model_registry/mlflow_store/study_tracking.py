"""A search in MLflow: the study is a run, and each planned trial a run below it, whichever workers attempt it."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Run, RunTag
from mlflow.tracking import MlflowClient

from model_registry.mlflow_store.connection import connect, explained, resolve_uri
from model_registry.mlflow_store.runs import create_run_once, experiment_id, log_params, search_runs
from model_registry.mlflow_store.tracking import TrackedRun

PARENT_TAG = "mlflow.parentRunId"
# MLflow has no status of its own for a pruned trial, or for one that nobody resumed after its worker died.
STATUSES = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "KILLED", "WAITING": "SCHEDULED"}


class TrackedTrial(TrackedRun):
    """The run of a trial while it is being written."""

    def abandon(self) -> None:
        """Stop writing and leave the run as it is."""
        self._stop_monitor()
        self._queue.close(patience_seconds=0)


class TrackedStudy:
    """The runs of a study. They are found by their tags, so that a worker that is killed leaves none that is lost.

    The facts that it is given are those of ``tune.study.recorder``, which this package does not import.
    """

    def __init__(self, *, tracking_uri: str | None, experiment: str) -> None:
        self._uri, self._experiment = resolve_uri(tracking_uri), experiment
        self._name = self._experiment_id = self._parent_id = ""
        self._connected: MlflowClient | None = None

    @property
    def _client(self) -> MlflowClient:
        assert self._connected is not None, "open_study comes first"
        return self._connected

    def open_study(self, *, name: str, token: str, facts: Mapping[str, object]) -> str:
        """Find or create the study's run, and mark it running; only one process at a time may do this."""
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
            texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
            log_params(self._client, self._parent_id, texts)
        return self._parent_id

    def open_trial(self, *, planned: int, number: int, retries: int, params: Mapping[str, object]) -> TrackedTrial:
        """Find or create the run of a planned trial, and continue it: points that it holds are not written twice.

        Only one process at a time may do this, as with ``settle``.
        """
        with explained(self._uri):
            found = self._children(f" and tags.slot = '{planned}'")
            if found:
                run = found[0]
            else:
                tags = {PARENT_TAG: self._parent_id, "kind": "trial", "study": self._name, "slot": str(planned)}
                run_name = f"{self._name}-trial-{number:04d}"
                run = create_run_once(self._client, self._experiment_id, tags=tags, run_name=run_name)
            run_id = str(run.info.run_id)
            # Once more for a run whose creator was killed before it had them; equal ones change nothing.
            log_params(self._client, run_id, params)
            state = {"trial_state": "RUNNING", "trial_number": str(number), "retries": str(retries)}
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in state.items()])
        return TrackedTrial.open(
            tracking_uri=self._uri, experiment=self._experiment, run_name="", params={}, tags={}, run_id=run_id
        )

    def running(self) -> set[int]:
        """Return the planned trials whose runs are open."""
        with explained(self._uri):
            return {
                int(run.data.tags["slot"])
                for run in self._children()
                if "RUNNING" in (run.info.status, run.data.tags.get("trial_state"))
            }

    def settle(self, states: Mapping[int, Any]) -> None:
        """Give runs of trials the state of their trials; only complete trials get the objective as a metric."""
        if not states:
            return
        with explained(self._uri):
            # All runs of a planned trial: should there be two, neither is to stay open.
            for run in self._children():
                facts = states.get(int(run.data.tags["slot"]))
                if facts is not None and facts.state != "RUNNING":
                    self._settle(run, facts)

    def summarize(self, summary: Any) -> None:
        """Add a point to the study's curves: best objectives and trials by state, against the number of ended ones."""
        values = {f"trials_{state.lower()}": float(count) for state, count in summary.counts.items()}
        values |= {f"best_{name}": value for name, value in summary.best_values.items()}
        tags = {} if summary.best_number is None else {"best_trial": str(summary.best_number)}
        with explained(self._uri):
            self._log(self._parent_id, values, tags, step=summary.finished)

    def finish(self, *, waiting: int, files: Sequence[Path]) -> None:
        """Store the study's results and end its run, unless trials are still waiting."""
        with explained(self._uri):
            for path in files:
                self._client.log_artifact(self._parent_id, str(path))
            if waiting:
                self._client.update_run(self._parent_id, status="SCHEDULED")
            else:
                self._client.set_terminated(self._parent_id, "FINISHED")

    def _settle(self, run: Run, facts: Any) -> None:
        run_id = str(run.info.run_id)
        tags = {"trial_state": facts.state, "trial_number": str(facts.number), "retries": str(facts.retries)}
        if facts.error is not None:
            tags["error"] = facts.error
        metrics = {}
        if facts.state == "COMPLETE" and "objective" not in run.data.metrics:
            metrics = {**facts.values, "objective": next(iter(facts.values.values()))}
        self._log(run_id, metrics, tags, step=0)
        status = "FAILED" if facts.error is not None else STATUSES[facts.state]
        if status == "SCHEDULED" and run.info.status != status:
            self._client.update_run(run_id, status=status)
        elif run.info.status != status:
            self._client.set_terminated(run_id, status)

    def _log(self, run_id: str, values: Mapping[str, float], tags: Mapping[str, str], *, step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        entries = [RunTag(key, value) for key, value in tags.items()]
        self._client.log_batch(run_id, metrics=metrics, tags=entries, synchronous=True)

    def _children(self, more: str = "") -> list[Run]:
        return self._search(f"tags.`{PARENT_TAG}` = '{self._parent_id}' and tags.kind = 'trial'{more}")

    def _search(self, condition: str) -> list[Run]:
        found = search_runs(self._client, self._experiment_id, condition)
        return sorted(found, key=lambda run: run.info.start_time)
