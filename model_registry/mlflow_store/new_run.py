"""Creating an MLflow run exactly once, though the reply to the request may be lost and the request be sent again."""

import uuid
from collections.abc import Mapping

from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow.tracking.context import registry as run_context

CREATION_TAG = "creation"


def create_run_once(client: MlflowClient, experiment_id: str, *, tags: Mapping[str, str], run_name: str) -> Run:
    """Create a run; one that an unanswered request of ours has made besides is deleted."""
    token = uuid.uuid4().hex
    tagged = run_context.resolve_tags({**tags, CREATION_TAG: token})
    run = client.create_run(experiment_id, tags=tagged, run_name=run_name)
    for twin in client.search_runs([experiment_id], f"tags.{CREATION_TAG} = '{token}'"):
        if twin.info.run_id != run.info.run_id:
            client.delete_run(twin.info.run_id)
    return run
