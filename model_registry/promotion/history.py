"""The history of a model: one MLflow run for every decision and rollback, in an experiment of its own."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

from model_registry.mlflow_store.metric_queue import POINTS_PER_REQUEST
from model_registry.mlflow_store.runs import create_run_once, experiment_id, search_runs
from model_registry.promotion.lease import is_dead, this_process

WRITER_TAG = "writer"
# Whether a process of another machine lives cannot be known, but no decision takes so long, however its clock may err.
LONGEST_DECISION_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One line of the history; ``champion`` is the version it was judged against, empty where there was none."""

    at: datetime
    who: str
    kind: str
    candidate: str
    champion: str
    verdict: str
    reason: str
    run_id: str


class DecisionLog:
    """The decisions about one model. A run is RUNNING until its decision has been carried out or discarded."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client, self._name = client, name

    def open(self, tags: Mapping[str, str], metrics: Mapping[str, float], artifacts: Path | None) -> str:
        """Record a decision that is about to be carried out, with the files of a folder; return its run's id."""
        experiment = experiment_id(self._client, f"{self._name} decisions")
        tags = {**tags, WRITER_TAG: json.dumps(this_process())}
        run = create_run_once(self._client, experiment, tags=tags, run_name=f"{tags['kind']}-{tags['candidate']}")
        run_id = str(run.info.run_id)
        points = [Metric(key, value, run.info.start_time, 0) for key, value in metrics.items()]
        for start in range(0, len(points), POINTS_PER_REQUEST):
            self._client.log_batch(run_id, metrics=points[start : start + POINTS_PER_REQUEST])
        if artifacts is not None:
            self._client.log_artifacts(run_id, str(artifacts))
        return run_id

    def close(self, run_id: str) -> None:
        """Close the run of a decision that has been carried out, and tag the version that it is about."""
        run = self._client.get_run(run_id)
        if run.info.status == "FINISHED":
            return
        tags = run.data.tags
        # A rollback is about the version that it removed.
        removed = tags["kind"] == "rollback"
        version, verdict = (tags["champion"], "rolled back") if removed else (tags["candidate"], tags["verdict"])
        for key, value in {"gate": f"{verdict}: {tags['reason']}", "gate_run": run_id}.items():
            self._client.set_model_version_tag(self._name, version, key, value)
        self._client.set_terminated(run_id, "FINISHED")

    def discard(self, run_id: str) -> None:
        """Close the run of a decision that was not carried out; the history leaves it out."""
        if self._client.get_run(run_id).info.status == "RUNNING":
            self._client.set_terminated(run_id, "KILLED")

    def left_open(self) -> list[str]:
        """Return the open runs whose process has ended, or that are older than any decision takes."""
        oldest = (time.time() - LONGEST_DECISION_SECONDS) * 1000
        runs = self._runs("attributes.status = 'RUNNING'")
        return [
            run.info.run_id
            for run in runs
            if is_dead(run.data.tags.get(WRITER_TAG, "")) or run.info.start_time < oldest
        ]

    def count(self, held_out_digest: str) -> int:
        """Count the decisions that have been made on these items."""
        return len(self._runs(f"attributes.status = 'FINISHED' and tags.held_out = '{held_out_digest}'"))

    def entries(self) -> list[Decision]:
        """Return every decision that was carried out, the last one first."""
        return [
            Decision(
                at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
                who=run.data.tags.get("mlflow.user", ""),
                run_id=run.info.run_id,
                **{key: run.data.tags.get(key, "") for key in ("kind", "candidate", "champion", "verdict", "reason")},
            )
            for run in self._runs("attributes.status = 'FINISHED'")
        ]

    def _runs(self, condition: str) -> list[Run]:
        experiment = self._client.get_experiment_by_name(f"{self._name} decisions")
        return search_runs(self._client, experiment.experiment_id, condition) if experiment else []
