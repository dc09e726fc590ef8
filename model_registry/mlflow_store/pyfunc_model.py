"""A bundle as an MLflow pyfunc model, for MLflow's own users; MLflow stores this file and runs it (models from code).

It is one more adapter of the JSON contract: a row is a request, so limits and error messages are those of the servers.
Our servers and our gate never come this way: they fetch the bundle's files and verify them.
"""

import json
from typing import Any

import pandas
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

import dragoman
from dragoman.http.protocol import answer
from dragoman.items.bodies import RawRequest


class BundleModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """The task's columns in, its columns out, and ``error`` in the row of a bad input."""

    def load_context(self, context: PythonModelContext) -> None:
        """Verify and load the bundle among the model's artifacts."""
        self.predictor = dragoman.load(context.artifacts["bundle"])
        self.columns = self.predictor.task.columns(self.predictor.bundle.manifest)

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """Answer row by row, in order."""
        task = self.predictor.task
        rows = model_input[list(self.columns.inputs)].to_dict("records")
        # The task writes the input itself, which may be bytes.
        bodies = [{**row, **task.request_for(row[task.input_field]), **(params or {})} for row in rows]
        requests = [RawRequest(body=json.dumps(body).encode("utf-8")) for body in bodies]
        replies = answer(self.predictor, requests)
        answers = [{"error": reply.error["error"]} if reply.error else task.row(reply.body) for reply in replies]
        found = {column: [row.get(column) for row in answers] for column in (*self.columns.outputs, "error")}
        # pandas' own text type would make NaN, a number, of what is absent.
        return pandas.DataFrame(found, dtype=object)


set_model(BundleModel())
