"""The history of a model: one MLflow run for every decision and rollback, in an experiment of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

from model_registry.new_run import create_run_once
from model_registry.tracking import experiment_id

PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One line of the history; ``champion`` is who it was judged against, empty where there was none."""

    at: datetime
    who: str
    kind: str
    candidate: str
    champion: str
    verdict: str
    reason: str
    run_id: str


class DecisionLog:
    """The decisions about one model. A run is RUNNING until its decision has been carried out."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client, self._name = client, name

    def open(self, tags: Mapping[str, str], metrics: Mapping[str, float], artifacts: Path | None) -> str:
        """Record a decision that is about to be carried out, with the files of a folder; returns its run's id."""
        experiment = experiment_id(self._client, f"{self._name} decisions")
        run = create_run_once(self._client, experiment, tags=tags, run_name=f"{tags['kind']}-{tags['candidate']}")
        run_id = str(run.info.run_id)
        points = [Metric(key, value, run.info.start_time, 0) for key, value in metrics.items()]
        if points:
            self._client.log_batch(run_id, metrics=points)
        if artifacts is not None:
            self._client.log_artifacts(run_id, str(artifacts))
        return run_id

    def close(self, run_id: str) -> None:
        """The decision has been carried out: close its run, and show it with the candidate's version."""
        tags = self._client.get_run(run_id).data.tags
        shown = {"gate": f"{tags['verdict']}: {tags['reason']}", "gate_run": run_id, "gate_at": tags["at"]}
        for key, value in shown.items():
            self._client.set_model_version_tag(self._name, tags["candidate"], key, value)
        self._client.set_terminated(run_id, "FINISHED")

    def abandon(self) -> None:
        """Close what killed processes left open; a decision whose writer still lives is closed as finished by it."""
        for run in self._runs("attributes.status = 'RUNNING'"):
            self._client.set_terminated(run.info.run_id, "KILLED")

    def earlier(self, segments_digest: str) -> int:
        """How many decisions have been made on these segments."""
        return len(self._runs(f"attributes.status = 'FINISHED' and tags.segments = '{segments_digest}'"))

    def entries(self) -> list[Decision]:
        """Every decision that was carried out, newest first."""
        return [_entry(run) for run in self._runs("attributes.status = 'FINISHED'")]

    def _runs(self, condition: str) -> list[Run]:
        experiment = self._client.get_experiment_by_name(f"{self._name} decisions")
        runs: list[Run] = []
        token: str | None = None
        while experiment is not None:
            page = self._client.search_runs(
                [experiment.experiment_id],
                condition,
                order_by=["attributes.start_time DESC"],
                max_results=PAGE,
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                break
        return runs


def now() -> str:
    """The time as decisions record it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _entry(run: Run) -> Decision:
    tags = run.data.tags
    return Decision(
        at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        who=tags.get("mlflow.user", ""),
        kind=tags.get("kind", ""),
        candidate=tags.get("candidate", ""),
        champion=tags.get("champion", ""),
        verdict=tags.get("verdict", ""),
        reason=tags.get("reason", ""),
        run_id=run.info.run_id,
    )
