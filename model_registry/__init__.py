"""Tracking of runs in MLflow, the registry of bundles, and their packaging for the servers."""

import os

# MLflow reads this when it is imported, so it stands here, before any module of the package can import it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
