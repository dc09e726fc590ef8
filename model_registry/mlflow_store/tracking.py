"""The MLflow run of a training. Its methods are cheap to call and never block the training loop on a server."""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_LOGGED_ARTIFACTS

from dragoman.bundle.store import open_unsigned
from dragoman.errors import ConfigError, UnavailableError
from model_registry.mlflow_store.connection import bounded_requests, connect, explained, resolve_uri, without_password
from model_registry.mlflow_store.logged_model import log_bundle
from model_registry.mlflow_store.metric_queue import MetricQueue
from model_registry.mlflow_store.runs import create_run_once, experiment_id, log_params

log = logging.getLogger(__name__)

# MLflow's page sorts its sections by name: the curves by steps, train/ and validation/, come before these.
UNITS_PREFIX = "vs_units"
# The kind of a data set's source, which is a section of our configuration.
DATASET_SOURCE = "dragoman"
# MLflow's default of 10 s leaves a demo of a minute with a handful of points.
SYSTEM_METRICS_SECONDS = 5
MONITOR_PATIENCE_SECONDS = 10.0
# Left to itself, MLflow repeats a request for minutes before it says that nobody is there.
SHORT_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}


class TrackedRun:
    """An MLflow run that is being written."""

    def __init__(self, client: MlflowClient, run_id: str, *, resumed: bool) -> None:
        """Continue writing a run; callers use ``open``."""
        self._client = client
        self.run_id = run_id
        self.tracking_uri: str = client.tracking_uri
        run = client.get_run(run_id)
        self._experiment_id: str = run.info.experiment_id
        # The system monitor numbers its own points.
        curves = [name for name in run.data.metrics if resumed and not name.startswith("system/")]
        self._last_steps = {
            name: max(point.step for point in client.get_metric_history(run_id, name)) for name in curves
        }
        self._queue = MetricQueue(client, run_id)
        self._monitor = SystemMetricsMonitor(
            run_id, sampling_interval=SYSTEM_METRICS_SECONDS, resume_logging=resumed, tracking_uri=self.tracking_uri
        )
        self._monitor.start()

    @classmethod
    def open(
        cls,
        *,
        tracking_uri: str | None,
        experiment: str,
        run_name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        run_id: str | None = None,
    ) -> Self:
        """Start a run, or continue the run ``run_id``; the URI defaults to $MLFLOW_TRACKING_URI, then to SQLite here.

        Raises UnavailableError within seconds when the store does not answer, ConfigError when the run is not in it.
        """
        client = connect(tracking_uri)
        uri = resolve_uri(tracking_uri)
        with explained(uri):
            if run_id is None:
                run = create_run_once(client, experiment_id(client, experiment), tags=tags, run_name=run_name)
                log_params(client, run.info.run_id, params)
                return cls(client, run.info.run_id, resumed=False)
            try:
                client.update_run(run_id, status=RunStatus.to_string(RunStatus.RUNNING))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise ConfigError(
                    f"the MLflow run {run_id} is not in {without_password(uri)}; "
                    "give the store it was started in as the tracking URI"
                ) from error
            return cls(client, run_id, resumed=True)

    def log_corpora(self, corpora: Sequence[Mapping[str, str]]) -> None:
        """Log the data sets that the run reads; logged again, each is there once.

        Each has a name (corpus/split), a digest, a source and a context: train, validation or test.
        """
        inputs = [
            DatasetInput(
                Dataset(one["name"], one["digest"], DATASET_SOURCE, one["source"]),
                [InputTag(MLFLOW_DATASET_CONTEXT, one["context"])],
            )
            for one in corpora
        ]
        if inputs:  # the report of an older run names none
            with explained(self.tracking_uri), bounded_requests(**SHORT_PATIENCE):
                self._client.log_inputs(self.run_id, inputs)

    def metrics(self, values: Mapping[str, float], *, step: int, units: int) -> None:
        """Log values against the step, and as ``vs_units/NAME`` against the units seen; returns at once.

        A resumed run repeats the steps since its checkpoint: what MLflow has already is not sent twice.
        """
        now = int(time.time() * 1000)
        points = [Metric(name, float(value), now, step) for name, value in values.items()]
        points += [Metric(f"{UNITS_PREFIX}/{name}", float(value), now, units) for name, value in values.items()]
        self._queue.put([point for point in points if point.step > self._last_steps.get(point.key, -1)])

    def artifact(self, path: Path, folder: str = "") -> None:
        """Store a file with the run; sent again, it overwrites itself."""
        with explained(self.tracking_uri), bounded_requests(**SHORT_PATIENCE):
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Store rows of equal keys as a table (``samples.json``); sent again, it overwrites itself."""
        columns = list(rows[0]) if rows else []
        content = {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}
        table = {"path": name, "type": "table"}
        with explained(self.tracking_uri), bounded_requests(**SHORT_PATIENCE):
            # Not by log_table, which appends to a table that is there already.
            self._client.log_dict(self.run_id, content, name)
            known = json.loads(self._client.get_run(self.run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
            if table not in known:
                self._client.set_tag(self.run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*known, table]))

    def log_bundle(self, bundle_dir: Path) -> str:
        """Verify a bundle and store it as this run's model, once per digest; return the model's URI."""
        # Unsigned: training has written it a moment ago; `register` demands the signature.
        bundle = open_unsigned(bundle_dir)
        with explained(self.tracking_uri), bounded_requests(**SHORT_PATIENCE):
            model_id = log_bundle(self._client, bundle, experiment_id=self._experiment_id, run_id=self.run_id)
        return f"models:/{model_id}"

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Send the queued points and close the run.

        Raises UnavailableError when a finished run would lack points; then it must be resumed and they sent again.
        """
        self._stop_monitor()
        if unsent := self._queue.close():
            place = without_password(self.tracking_uri)
            missing = f"{unsent} metric points of run {self.run_id} did not reach {place}"
            if status == "FINISHED":
                raise UnavailableError(missing)
            log.warning(missing)
        with explained(self.tracking_uri):
            self._client.set_terminated(self.run_id, status)

    def _stop_monitor(self) -> None:
        """Let the monitor send its last points; against a dead server it would try for minutes."""
        ending = threading.Thread(target=self._monitor.finish, name="monitor-end", daemon=True)
        ending.start()
        ending.join(MONITOR_PATIENCE_SECONDS)
