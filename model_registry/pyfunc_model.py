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
from dragoman.protocol import RawRequest, answer


class BundleModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Texts in column ``q``; ``translation`` and ``finish_reason`` out, or ``error`` in the row of a bad text."""

    def load_context(self, context: PythonModelContext) -> None:
        """Verify and load the bundle among the model's artifacts."""
        self.predictor = dragoman.load(context.artifacts["bundle"])

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        """One row out per row in, in order."""
        bodies = [{"q": text, **(params or {})} for text in model_input["q"]]
        requests = [RawRequest(body=json.dumps(body).encode("utf-8")) for body in bodies]
        replies = [reply.body for reply in answer(self.predictor, requests)]
        columns = {"translation": "translatedText", "finish_reason": "finish_reason", "error": "error"}
        rows = {column: [body.get(key) for body in replies] for column, key in columns.items()}
        # pandas' own text type would make NaN, a number, of what is absent.
        return pandas.DataFrame(rows, dtype=object)


set_model(BundleModel())
