"""The registry of bundles: one MLflow model version per bundle digest, and the aliases candidate, champion, previous.

MLflow is a place for records and files here. No code of a registered model is ever run: a bundle is fetched as files
and verified against its manifest, and its manifest against the digest its version was registered with.
"""

import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context import registry as run_context

from dragoman import atomic
from dragoman.bundle import MANIFEST, Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError
from dragoman.manifest import Manifest
from model_registry.connection import connect, explained
from model_registry.gate import Verdict, judge
from model_registry.logged_model import ARTIFACT_FOLDER, find_logged_model, log_bundle
from model_registry.signing import complete_copy, store_signature
from model_registry.tracking import experiment_id
from model_registry.versions import Version, description, from_mlflow, select, version_tags

log = logging.getLogger(__name__)

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
MODEL_VERSIONS_TAG = "mlflow.modelVersions"


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What became of a request to promote; ``replaced`` is the champion before, ``changed`` false for a no-op."""

    version: Version
    verdict: Verdict
    replaced: Version | None = None
    changed: bool = False


class Registry:
    """The registered models of one MLflow store."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self.uri: str = client.tracking_uri

    @classmethod
    def open(cls, tracking_uri: str | None, *, create: bool = False) -> "Registry":
        """Connect; ``create`` allows a new SQLite store. Raises UnavailableError within seconds."""
        return cls(connect(tracking_uri, create=create))

    def names(self) -> list[str]:
        """Every registered model."""
        with explained(self.uri):
            return sorted(model.name for model in self._client.search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, newest first; raises ConfigError when there is no such model."""
        with explained(self.uri):
            try:
                aliases = self._client.get_registered_model(name).aliases
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                names = ", ".join(self.names()) or "none yet"
                raise ConfigError(f"{self.uri} has no model {name!r}; it has {names}") from error
            found = [from_mlflow(version, aliases) for version in self._client.search_model_versions(f"name='{name}'")]
        return sorted(found, key=lambda version: -version.number)

    def find(self, name: str, selector: str) -> Version:
        """The version by number, alias or bundle version; raises ConfigError listing what there is."""
        return select(self.versions(name), name, selector)

    def register(self, bundle: Bundle) -> Version:
        """Make the bundle a version, once per digest, and the candidate; a repetition finds the version made before."""
        manifest = bundle.manifest
        with explained(self.uri):
            number = self._version_of(manifest)
            if number is None:
                number = self._create_version(bundle)
            store_signature(self._client, bundle, number)
            self._client.set_registered_model_alias(manifest.name, CANDIDATE, str(number))
        return self.find(manifest.name, str(number))

    def fetch(self, version: Version, folder: Path) -> Bundle:
        """Download a bundle to ``folder/NAME-BUNDLEVERSION`` and verify it; what is there already is verified and kept.

        Raises BundleError when a byte differs from what was registered; nothing is left behind then.
        """
        if not version.digest:
            raise BundleError(
                f"{version.reference} was not registered from a bundle (it has no digest tag); register the bundle"
            )
        destination = folder / f"{version.name}-{version.bundle_version}"
        if destination.exists():
            log.info("%s is there already, verifying it", destination)
            with explained(self.uri):
                complete_copy(self._client, version.name, version.number, destination)
            return _checked(open_bundle(destination), version)
        with (
            atomic.directory(destination) as staging,
            tempfile.TemporaryDirectory(prefix=".fetch-", dir=destination.parent) as scratch,
        ):
            log.info("fetching %s from %s", version.reference, self.uri)
            downloaded = self._download(version, "", Path(scratch))
            self._verify(downloaded, version)
            for child in downloaded.iterdir():
                shutil.move(child, staging / child.name)
        return open_bundle(destination)

    def promote(self, name: str, selector: str) -> Promotion:
        """Make a version champion if its bundle verifies and the gate lets it pass; the old one becomes previous."""
        versions = self.versions(name)
        candidate = select(versions, name, selector)
        champion = _aliased(versions, CHAMPION)
        if champion is not None and champion.number == candidate.number:
            return Promotion(version=candidate, verdict=Verdict(accepted=True, reason="it is the champion already"))
        with tempfile.TemporaryDirectory(prefix="dragoman-promote-") as folder:
            bundle = self.fetch(candidate, Path(folder))
            verdict = judge(bundle.manifest, self._manifest(champion, Path(folder)) if champion else None)
        with explained(self.uri):
            decision = "accepted" if verdict.accepted else "rejected"
            self._client.set_model_version_tag(name, str(candidate.number), "gate", f"{decision}: {verdict.reason}")
            if verdict.accepted:
                # In this order, an interruption between the two leaves the champion where it was.
                if champion is not None:
                    self._client.set_registered_model_alias(name, PREVIOUS, str(champion.number))
                self._client.set_registered_model_alias(name, CHAMPION, str(candidate.number))
        return Promotion(version=candidate, verdict=verdict, replaced=champion, changed=verdict.accepted)

    def rollback(self, name: str) -> Promotion:
        """Make the previous champion champion again, once its bundle verifies, and the present one previous."""
        versions = self.versions(name)
        champion, previous = _aliased(versions, CHAMPION), _aliased(versions, PREVIOUS)
        if champion is None or previous is None or champion.number == previous.number:
            raise ConfigError(
                f"{name} has no previous champion to go back to; there is one after a second promotion "
                f"(champion: {champion.number if champion else 'none'})"
            )
        with tempfile.TemporaryDirectory(prefix="dragoman-rollback-") as folder:
            self.fetch(previous, Path(folder))
        with explained(self.uri):
            # The champion first: an interruption between the two must not leave the bad one serving.
            self._client.set_registered_model_alias(name, CHAMPION, str(previous.number))
            self._client.set_registered_model_alias(name, PREVIOUS, str(champion.number))
        verdict = Verdict(accepted=True, reason="rolled back")
        return Promotion(version=previous, verdict=verdict, replaced=champion, changed=True)

    def _version_of(self, manifest: Manifest) -> int | None:
        """The version of this bundle. A creation whose reply was lost may have made two: the first one stays."""
        found = self._client.search_model_versions(f"name='{manifest.name}' and tag.digest='{manifest.digest}'")
        numbers = sorted(int(version.version) for version in found)
        if len(numbers) > 1:
            aliased = {int(number) for number in self._client.get_registered_model(manifest.name).aliases.values()}
            for number in set(numbers[1:]) - aliased:
                self._client.delete_model_version(manifest.name, str(number))
        return numbers[0] if numbers else None

    def _create_version(self, bundle: Bundle) -> int:
        manifest = bundle.manifest
        model_id, run_id = self._logged_model(bundle)
        try:
            self._client.create_registered_model(manifest.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = self._client.create_model_version(
            manifest.name,
            source=f"models:/{model_id}",
            run_id=run_id,
            tags=version_tags(manifest),
            description=description(bundle),
            model_id=model_id,
        )
        number = self._version_of(manifest) or int(created.version)
        self._link(model_id, manifest.name, number)
        return number

    def _logged_model(self, bundle: Bundle) -> tuple[str, str]:
        """The ids of the model that holds the bundle and of its run; stored now if training did not do it."""
        manifest = bundle.manifest
        run = self._training_run(manifest)
        experiment = str(run.info.experiment_id) if run else experiment_id(self._client, manifest.name)
        if stored := find_logged_model(self._client, manifest.digest, [experiment]):
            return stored.model_id, stored.source_run_id
        run = run or self._import_run(bundle, experiment)
        log.info("storing %s %s in %s", manifest.name, manifest.version, self.uri)
        model_id = log_bundle(self._client, bundle, experiment_id=experiment, run_id=run.info.run_id)
        return model_id, run.info.run_id

    def _training_run(self, manifest: Manifest) -> Run | None:
        run_id = manifest.provenance.mlflow_run_id
        if run_id is None:
            return None
        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            log.info(
                "the run %s that trained this bundle is not in %s; the bundle gets a run of its own", run_id, self.uri
            )
            return None

    def _import_run(self, bundle: Bundle, experiment: str) -> Run:
        tags = run_context.resolve_tags({"imported": "true", **version_tags(bundle.manifest)})
        run = self._client.create_run(experiment, tags=tags, run_name=f"import-{bundle.manifest.version}")
        for name in ("config.yaml", "MODEL_CARD.md"):
            self._client.log_artifact(run.info.run_id, str(bundle.path / name))
        self._client.set_terminated(run.info.run_id, "FINISHED")
        return run

    def _link(self, model_id: str, name: str, number: int) -> None:
        # The server links the logged model to its versions by this tag; a bare database needs it set by hand.
        entry = {"name": name, "version": str(number)}
        linked = json.loads(self._client.get_logged_model(model_id).tags.get(MODEL_VERSIONS_TAG, "[]"))
        if all(str(item["version"]) != str(number) for item in linked):
            self._client.set_logged_model_tags(model_id, {MODEL_VERSIONS_TAG: json.dumps([*linked, entry])})

    def _download(self, version: Version, path: str, folder: Path) -> Path:
        """Download one path inside a version's bundle ("" for all of it) below ``folder``."""
        with explained(self.uri):
            root = self._client.get_model_version_download_uri(version.name, str(version.number))
            # MLflow keeps the name the directory had when it was logged, and nothing else stands beside it.
            entries = list_artifacts(artifact_uri=f"{root}/{ARTIFACT_FOLDER}", tracking_uri=self.uri)
            if len(entries) != 1:
                raise BundleError(f"{version.reference} in {self.uri} holds no bundle; register the bundle again")
            uri = "/".join(filter(None, [root, entries[0].path, path]))
            return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.uri))

    def _verify(self, downloaded: Path, version: Version) -> None:
        try:
            _checked(open_bundle(downloaded), version)
        except BundleError as error:
            message = str(error).replace(f"{downloaded}/", "").replace(str(downloaded), "the download")
            raise BundleError(f"{version.reference} in {self.uri} is damaged: {message}") from error

    def _manifest(self, version: Version, folder: Path) -> Manifest:
        """A version's manifest alone, checked against the digest it was registered with."""
        file = self._download(version, MANIFEST, folder)
        manifest = Manifest.from_json(file.read_text(encoding="utf-8"), origin=f"{MANIFEST} of {version.reference}")
        _check_digest(manifest.sealed().digest, version)
        return manifest


def _aliased(versions: list[Version], alias: str) -> Version | None:
    return next((version for version in versions if alias in version.aliases), None)


def _checked(bundle: Bundle, version: Version) -> Bundle:
    _check_digest(bundle.manifest.digest, version)
    return bundle


def _check_digest(found: str, version: Version) -> None:
    if found != version.digest:
        raise BundleError(
            f"artifact digest mismatch: {version.reference} expected sha256:{version.digest} got sha256:{found}"
        )
