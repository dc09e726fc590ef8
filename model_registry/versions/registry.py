"""The registry of bundles: one MLflow model version per bundle digest, and the aliases candidate, champion, previous.

MLflow is a place for records and files here. No code of a registered model is ever run: a bundle is fetched as files
and verified against its manifest, and its manifest against the digest its version was registered with.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import requests
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman import atomic
from dragoman.bundle.manifest import NAME_PATTERN, VERSION_LENGTH
from dragoman.bundle.signature import SIGNATURE
from dragoman.bundle.store import Bundle, open_bundle, open_unsigned
from dragoman.errors import BundleError, ConfigError, OutputError
from model_registry.mlflow_store.connection import bounded_requests, connect, explained, without_password
from model_registry.mlflow_store.logged_model import upload_bundle
from model_registry.versions.registration import ABSENT, register_bundle
from model_registry.versions.signing import ARTIFACT_FOLDER, store_signature, update_signature
from model_registry.versions.version import Version, from_mlflow, select
from scoring.held_out import FOLDER, SUFFIX
from scoring.table import METRICS

log = logging.getLogger(__name__)

DIGEST = re.compile(r"[0-9a-f]{64}")
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
# By default MLflow offers each file eight times to a store that refuses it, which takes minutes.
STORING_REQUESTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# A follower that waits for minutes looks dead, and asks again soon.
PROMPT_LOOK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


class Registry:
    """The registered models of one MLflow store; ``place`` is its URI as messages show it."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client
        self.uri: str = client.tracking_uri
        self.place = without_password(self.uri)

    @classmethod
    def open(cls, tracking_uri: str | None, *, create: bool = False) -> "Registry":
        """Connect; ``create`` allows a new SQLite store. Raises UnavailableError within seconds."""
        return cls(connect(tracking_uri, create=create))

    def names(self) -> list[str]:
        """List the registered models."""
        with explained(self.uri):
            return sorted(model.name for model in self.client.search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[Version]:
        """List the versions of a model, newest first; raises ConfigError when there is no such model."""
        with explained(self.uri):
            try:
                aliases = self.client.get_registered_model(name).aliases
            except MlflowException as error:
                if error.error_code not in ABSENT:
                    raise
                names = ", ".join(self.names()) or "none yet"
                raise ConfigError(f"{self.place} has no model {name!r}; it has {names}") from error
            found = [from_mlflow(version, aliases) for version in self.client.search_model_versions(f"name='{name}'")]
        return sorted(found, key=lambda version: -version.number)

    def scores(self, version: Version) -> dict[str, float]:
        """Return the headline scores of a version, metrics of the model behind it, in the order of the metrics."""
        found: dict[str, float] = {}
        with explained(self.uri):
            try:
                metrics = (self.client.get_logged_model(version.model_id).metrics or []) if version.model_id else []
                found = {metric.key: metric.value for metric in metrics}
            except MlflowException as error:
                # The model may have been deleted in MLflow; its version is listed all the same.
                if error.error_code not in ABSENT:
                    raise
        return {name: found.pop(name) for name in METRICS if name in found} | found

    def find(self, name: str, selector: str) -> Version:
        """Find a version by number, alias or bundle version; raises ConfigError listing what there is."""
        return select(self.versions(name), name, selector)

    def by_alias(self, name: str, alias: str) -> Version:
        """Find the version that an alias names, by one request that is given up within seconds.

        Raises ConfigError where there is none yet.
        """
        with explained(self.uri), bounded_requests(**PROMPT_LOOK):
            try:
                found = self.client.get_model_version_by_alias(name, alias)
            except MlflowException as error:
                if error.error_code not in ABSENT:
                    raise
                raise ConfigError(
                    f"{name} has no version {alias!r} in {self.place}; a promotion sets the alias {CHAMPION}, and "
                    "registering a bundle the alias candidate"
                ) from error
        return from_mlflow(found, {alias: str(found.version)})

    def register(self, bundle: Bundle) -> Version:
        """Make the bundle a version, once per digest, and the candidate; a repetition finds the version made before.

        A version whose files are gone from the store, or damaged, gets them back. The champion, and the one before it,
        which are registered again for that, do not take the place of a candidate.
        """
        name = bundle.manifest.name
        with explained(self.uri), bounded_requests(**STORING_REQUESTS), _unwritable(self.place):
            number = register_bundle(self.client, bundle)
            version = self.find(name, str(number))
            try:
                self._check_stored(version)
            except BundleError:
                log.info("the files of %s in %s are gone or damaged, storing them again", version.reference, self.place)
                upload_bundle(self.client, bundle, model_id=version.model_id, run_id=version.run_id)
                self._check_stored(version)
            store_signature(self.client, bundle, version.model_id)
            if not {CHAMPION, PREVIOUS} & set(self.find(name, str(number)).aliases):
                self.client.set_registered_model_alias(name, CANDIDATE, str(number))
        return self.find(name, str(number))

    def fetch(self, version: Version, folder: Path, opened: Callable[[Path], Bundle] = open_bundle) -> Bundle:
        """Download a bundle to ``folder/NAME-BUNDLEVERSION`` and verify it; a copy there is verified and kept.

        Such a copy gets the signature that is stored now, if it verifies with it. ``opened`` verifies. Raises
        BundleError when a byte differs from what was registered; nothing is left behind then.
        """
        destination = folder / bundle_label(version)
        if destination.exists():
            log.info("%s is there already, verifying it", destination)
            with _kept_on_failure(destination / SIGNATURE):
                with explained(self.uri):
                    update_signature(self.client, version, destination)
                return _checked(opened(destination), version)
        with (
            atomic.directory(destination) as staging,
            tempfile.TemporaryDirectory(prefix=".fetch-", dir=destination.parent) as scratch,
        ):
            log.info("fetching %s from %s", version.reference, self.place)
            verified = self._download(version, Path(scratch), opened)
            # Renamed, not copied: the verified files are those that lie there.
            for child in verified.path.iterdir():
                child.rename(staging / child.name)
        return replace(verified, path=destination)

    def held_out_files(self, version: Version, folder: Path) -> list[Path]:
        """Download the held-out sets that the version's run has stored below ``folder``."""
        if not version.run_id:
            return []
        with explained(self.uri):
            entries = self.client.list_artifacts(version.run_id, FOLDER)
            paths = sorted(entry.path for entry in entries if entry.path.endswith(SUFFIX))
            return [Path(self.client.download_artifacts(version.run_id, path, str(folder))) for path in paths]

    def _check_stored(self, version: Version) -> None:
        with tempfile.TemporaryDirectory(prefix="dragoman-verify-") as folder:
            # Without the signature, which may be what this registration brings.
            self._download(version, Path(folder), open_unsigned)

    def _download(self, version: Version, folder: Path, opened: Callable[[Path], Bundle]) -> Bundle:
        """Download a version's bundle below ``folder`` and verify it."""
        with explained(self.uri):
            root = self.client.get_model_version_download_uri(version.name, str(version.number))
            with _gone(version, f"{without_password(root)} in {self.place}"):
                # MLflow keeps the name the directory had when it was logged, and nothing else stands beside it.
                entries = list_artifacts(artifact_uri=f"{root}/{ARTIFACT_FOLDER}", tracking_uri=self.uri)
                if len(entries) != 1:
                    raise FileNotFoundError(f"{len(entries)} bundles")
                uri = f"{root}/{entries[0].path}"
                downloaded = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.uri))
        try:
            return _checked(opened(downloaded), version)
        except BundleError as error:
            message = str(error).replace(f"{downloaded}/", "").replace(str(downloaded), "the download")
            raise BundleError(f"{version.reference} in {self.place} is damaged: {message}") from error


def aliased(versions: Sequence[Version], alias: str) -> Version | None:
    """Return the version that has the alias."""
    return next((version for version in versions if alias in version.aliases), None)


def bundle_label(version: Version) -> str:
    """Return the name of a fetched bundle's directory; raises BundleError unless the registry's tags are harmless."""
    if not version.digest:
        raise BundleError(
            f"{version.reference} was not registered from a bundle (it has no digest tag); register the bundle"
        )
    if not (DIGEST.fullmatch(version.digest) and version.bundle_version == version.digest[:VERSION_LENGTH]):
        raise BundleError(
            f"the tags of {version.reference} are damaged: digest {version.digest[:80]!r} must be 64 hexadecimal "
            f"digits, and bundle_version {version.bundle_version[:80]!r} their first {VERSION_LENGTH}; correct them, "
            f"or register the bundle under a new version"
        )
    if not NAME_PATTERN.fullmatch(version.name):
        raise BundleError(f"{version.name[:80]!r} is no name of a bundle; only models of Dragoman can be fetched")
    return f"{version.name}-{version.bundle_version}"


def _checked(bundle: Bundle, version: Version) -> Bundle:
    found = bundle.manifest.digest
    if found != version.digest:
        raise BundleError(
            f"artifact digest mismatch: {version.reference} expected sha256:{version.digest} got sha256:{found}"
        )
    return bundle


@contextmanager
def _kept_on_failure(signature: Path) -> Iterator[None]:
    """Put a signature back when the bundle does not verify with the new one: servers may be using the copy."""
    before = signature.read_bytes() if signature.is_file() else None
    try:
        yield
    except BundleError:
        if before is None:
            signature.unlink(missing_ok=True)
        else:
            atomic.write_bytes(signature, before)
        raise


@contextmanager
def _gone(version: Version, place: str) -> Iterator[None]:
    """Explain files that the store does not have; a server that is out of order says nothing about them."""
    try:
        yield
    except OSError as error:
        if isinstance(error, requests.RequestException):
            status = None if error.response is None else error.response.status_code
            if status != HTTPStatus.NOT_FOUND:
                raise
        raise BundleError(
            f"the files of {version.reference} (bundle {version.bundle_version}) are gone from {place}; put them back "
            f"with: python -m model_registry register RUN_OR_BUNDLE"
        ) from error


@contextmanager
def _unwritable(place: str) -> Iterator[None]:
    """Explain a directory of artifacts that cannot be written, where this process writes it without a server."""
    try:
        yield
    except requests.RequestException:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot store files in the artifact directory of {place}: {error}; make it writable, or give another store"
        ) from error
