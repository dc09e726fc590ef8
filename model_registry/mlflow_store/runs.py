"""Finding experiments and creating runs."""

import sys
import uuid
from collections.abc import Mapping

from mlflow.entities import Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context import registry as run_context
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_USER

from dragoman.errors import ConfigError
from model_registry.mlflow_store.connection import all_pages, sqlite_path

CREATION_TAG = "creation"
# The most that MLflow takes in one request, and as the value of one parameter.
PARAMS_PER_REQUEST = 100
LONGEST_PARAM = 6000


def create_run_once(client: MlflowClient, experiment_id: str, *, tags: Mapping[str, str], run_name: str) -> Run:
    """Create a run exactly once, though the reply may be lost and MLflow's client then sends the request again.

    The run that the unanswered request created is deleted.
    """
    token = uuid.uuid4().hex
    context = {**run_context.resolve_tags(), **_source()}
    run = client.create_run(experiment_id, tags={**context, **tags, CREATION_TAG: token}, run_name=run_name)
    for twin in client.search_runs([experiment_id], f"tags.{CREATION_TAG} = '{token}'"):
        if twin.info.run_id != run.info.run_id:
            client.delete_run(twin.info.run_id)
    return run


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, object]) -> None:
    """Log the parameters of a run; parameters that are there already with the same value change nothing."""
    entries = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in params.items()]
    for start in range(0, len(entries), PARAMS_PER_REQUEST):
        client.log_batch(run_id, params=entries[start : start + PARAMS_PER_REQUEST])


def search_runs(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    """Return all runs of an experiment that meet a condition, the last one to end first."""
    order = ["attributes.end_time DESC"]
    return all_pages(lambda token: client.search_runs([experiment_id], condition, order_by=order, page_token=token))


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if there is none; SQLite's artifacts go beside its file.

    Raises ConfigError for an experiment that was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        uri = client.tracking_uri
        # MLflow's own choice would be ./mlruns of whichever directory the first run was started in.
        place = (sqlite_path(uri).parent / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        raise ConfigError(
            f"the MLflow experiment {name!r} was deleted; restore it (mlflow experiments restore "
            f"--experiment-id {found.experiment_id}) or choose another name"
        )
    return str(found.experiment_id)


def current_user() -> str:
    """Return the user as MLflow records it with runs; a container may have no name for its user."""
    return str(run_context.resolve_tags().get(MLFLOW_USER, "unknown"))


def _source() -> dict[str, str]:
    """Return the command that this process runs as the source of its runs, in place of a file called __main__.py."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or not spec.name.endswith(".__main__"):
        return {}
    # Without arguments: MLflow's pages show what follows the last slash, and the run's parameters tell the rest.
    return {MLFLOW_SOURCE_NAME: f"python -m {spec.name.removesuffix('.__main__')}"}
