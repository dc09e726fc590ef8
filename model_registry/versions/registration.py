"""Making a bundle a version: once per digest, in the run that trained it, with files that are really there."""

import json
import logging
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.store import Bundle
from model_registry.mlflow_store.connection import without_password
from model_registry.mlflow_store.logged_model import find_logged_model, log_bundle
from model_registry.mlflow_store.runs import create_run_once, experiment_id
from model_registry.versions.version_page import description, lineage, version_tags
from scoring.held_out import FOLDER, SUFFIX

log = logging.getLogger(__name__)

MODEL_VERSIONS_TAG = "mlflow.modelVersions"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def register_bundle(client: MlflowClient, bundle: Bundle) -> int:
    """Return the number of the bundle's version, which is created if there is none."""
    name = bundle.manifest.name
    number = _version_of(client, bundle.manifest) or _create_version(client, bundle)
    version = client.get_model_version(name, str(number))
    # Written now, because its commands name the number; a text that is there already may be a person's.
    if not version.description:
        client.update_model_version(name, str(number), description(bundle, number))
    # The gate needs the sets that the bundle was scored on. A run directory holds them beside the bundle; in MLflow, a
    # run that was imported lacks them, and so does one whose tracking server was away at the end of its training.
    files = sorted((bundle.path.parent / FOLDER).glob(f"*{SUFFIX}"))
    if files:
        stored = {Path(entry.path).name for entry in client.list_artifacts(version.run_id, FOLDER)}
        for file in files:
            if file.name not in stored:
                client.log_artifact(version.run_id, str(file), FOLDER)
    return number


def _version_of(client: MlflowClient, manifest: Manifest) -> int | None:
    """Return the version of this bundle. A creation whose reply was lost may have made two: the first one stays."""
    found = client.search_model_versions(f"name='{manifest.name}' and tag.digest='{manifest.digest}'")
    numbers = sorted(int(version.version) for version in found)
    if len(numbers) > 1:
        aliased = {int(number) for number in client.get_registered_model(manifest.name).aliases.values()}
        for number in set(numbers[1:]) - aliased:
            try:
                client.delete_model_version(manifest.name, str(number))
            except MlflowException as error:
                # Another process that registers the same bundle at this moment deletes it as well.
                if error.error_code not in ABSENT:
                    raise
    return numbers[0] if numbers else None


def _create_version(client: MlflowClient, bundle: Bundle) -> int:
    manifest = bundle.manifest
    model_id, run_id = _logged_model(client, bundle)
    try:
        client.create_registered_model(manifest.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        manifest.name, source=f"models:/{model_id}", run_id=run_id, tags=version_tags(manifest), model_id=model_id
    )
    number = _version_of(client, manifest) or int(created.version)
    # The server links the logged model to its versions by this tag; a bare database needs it set by hand.
    linked = json.loads(client.get_logged_model(model_id).tags.get(MODEL_VERSIONS_TAG, "[]"))
    if all(str(item["version"]) != str(number) for item in linked):
        entry = {"name": manifest.name, "version": str(number)}
        client.set_logged_model_tags(model_id, {MODEL_VERSIONS_TAG: json.dumps([*linked, entry])})
    return number


def _logged_model(client: MlflowClient, bundle: Bundle) -> tuple[str, str]:
    """Return the ids of the model that holds the bundle and of its run; it is stored now if training did not do it."""
    manifest = bundle.manifest
    run = _training_run(client, manifest)
    experiment = str(run.info.experiment_id) if run else experiment_id(client, manifest.name)
    if stored := find_logged_model(client, manifest.digest, [experiment]):
        return stored.model_id, stored.source_run_id
    if run is None:
        tags = {"imported": "true", **lineage(manifest)}
        run = create_run_once(client, experiment, tags=tags, run_name=f"import-{manifest.version}")
        for name in ("config.yaml", "MODEL_CARD.md"):
            client.log_artifact(run.info.run_id, str(bundle.path / name))
        client.set_terminated(run.info.run_id, "FINISHED")
    log.info("storing %s %s in %s", manifest.name, manifest.version, without_password(client.tracking_uri))
    model_id = log_bundle(client, bundle, experiment_id=experiment, run_id=run.info.run_id)
    return model_id, run.info.run_id


def _training_run(client: MlflowClient, manifest: Manifest) -> Run | None:
    run_id = manifest.provenance.mlflow_run_id
    if run_id is None:
        return None
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        uri = without_password(client.tracking_uri)
        log.info("the run %s that trained this bundle is not in %s; the bundle gets a run of its own", run_id, uri)
        return None
