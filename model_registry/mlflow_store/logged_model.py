"""A bundle as an MLflow LoggedModel: signature, input example, pinned requirements, scores, and the bundle's files."""

import tempfile
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
import pandas
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from packaging.requirements import Requirement

import dragoman
from dragoman.bundle.manifest import Manifest, Score
from dragoman.bundle.store import Bundle
from dragoman.task_table import extra_of
from dragoman.tasks.base import task_class

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
# MLflow's names of the types that parameters have.
PARAM_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


def log_bundle(client: MlflowClient, bundle: Bundle, *, experiment_id: str, run_id: str) -> str:
    """Store a bundle as a model of a run, once per digest; return the model's id."""
    if stored := find_logged_model(client, bundle.manifest.digest, [experiment_id]):
        return str(stored.model_id)
    manifest = bundle.manifest
    logged = client.create_logged_model(
        experiment_id,
        name=manifest.name,
        source_run_id=run_id,
        tags={"bundle_digest": manifest.digest, "bundle_version": manifest.version},
        params=client.get_run(run_id).data.params,
        model_type=manifest.task,
    )
    try:
        upload_bundle(client, bundle, model_id=logged.model_id, run_id=run_id)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        now = int(time.time() * 1000)
        headline = headline_scores(manifest)
        points = [Metric(name, one.value, now, 0, model_id=logged.model_id) for name, one in headline.items()]
        client.log_batch(run_id, metrics=points)
    except BaseException:
        # A model without its files must never be found by digest and taken for a whole one.
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
        raise
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return str(logged.model_id)


def upload_bundle(client: MlflowClient, bundle: Bundle, *, model_id: str, run_id: str) -> None:
    """Store the files of a logged model; files that are there already are overwritten."""
    with tempfile.TemporaryDirectory(prefix="dragoman-model-") as folder:
        _save_model(f"{folder}/model", bundle, Model(run_id=run_id, model_id=model_id, model_uuid=model_id))
        client.log_model_artifacts(model_id, f"{folder}/model")


def find_logged_model(client: MlflowClient, digest: str, experiment_ids: list[str]) -> LoggedModel | None:
    """Return the complete model that holds the bundle with this digest, if there is one."""
    found = client.search_logged_models(experiment_ids, filter_string=f"tags.bundle_digest = '{digest}'")
    ready = [model for model in found if model.status == LoggedModelStatus.READY]
    return min(ready, key=lambda model: int(model.creation_timestamp), default=None)


def _save_model(path: str, bundle: Bundle, model: Model) -> None:
    manifest = bundle.manifest
    task = task_class(manifest.task)
    columns = task.columns(manifest)
    params = [ParamSpec(name, PARAM_TYPES[type(default)], default) for name, default in columns.params.items()]
    mlflow.pyfunc.save_model(
        path=path,
        mlflow_model=model,
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={"bundle": str(bundle.path.resolve())},
        code_paths=[str(Path(dragoman.__file__).parent)],
        signature=ModelSignature(
            inputs=Schema([ColSpec(kind, name) for name, kind in columns.inputs.items()]),
            outputs=Schema(
                [ColSpec(kind, name, required=False) for name, kind in {**columns.outputs, "error": "string"}.items()]
            ),
            params=ParamSchema(params) if params else None,
        ),
        input_example=pandas.DataFrame({column: [task.example_item] for column in columns.inputs}),
        pip_requirements=_requirements(manifest.task),
        metadata={"bundle_digest": manifest.digest},
    )


def _requirements(task: str) -> list[str]:
    """Pin what pyfunc_model.py needs where MLflow rebuilds an environment: the task on a CPU. MLflow adds itself."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    stated = [*project["dependencies"], *project["optional-dependencies"].get(extra_of(task), []), "pandas"]
    names = sorted({Requirement(line).name for line in stated})
    return [f"{name}=={version(name)}" for name in names]


def headline_scores(manifest: Manifest) -> dict[str, Score]:
    """Return the first score of each metric, which is the one that tables show."""
    headline: dict[str, Score] = {}
    for score in manifest.scores:
        headline.setdefault(score.metric, score)
    return headline
