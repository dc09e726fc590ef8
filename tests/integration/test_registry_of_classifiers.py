"""A classifier in MLflow: its signature, and what MLflow's own users get of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dragoman
from deploy.conformance.corpus import picture
from dragoman.bundle.store import open_bundle
from model_registry.versions.registry import Registry
from tests.conftest import ROOT

TEXTS = ["The man sees the red car.", " "]


def test_mlflow_users_load_and_predict_without_this_repository(
    sqlite_uri: str, tiny_classifier: Path, tmp_path: Path
) -> None:
    version = Registry.open(sqlite_uri).register(open_bundle(tiny_classifier))
    code = f"""
import json, mlflow, pandas
model = mlflow.pyfunc.load_model("models:/{version.name}@candidate")
frame = model.predict(pandas.DataFrame({{"inputs": {TEXTS!r}}}))
import dragoman
signature = model.metadata.signature
columns = {{"inputs": signature.inputs.to_dict(), "outputs": signature.outputs.to_dict()}}
print(json.dumps({{"code": dragoman.__file__, "rows": frame.to_dict("records"), **columns}}))
"""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": sqlite_uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert not answer["code"].startswith(str(ROOT))
    assert [(column["name"], column["type"]) for column in answer["inputs"]] == [("inputs", "string")]
    types = {column["name"]: column["type"] for column in answer["outputs"]}
    assert types == {"label": "string", "score": "double", "scores": "string", "error": "string"}
    good, bad = answer["rows"]
    predictor = dragoman.load(tiny_classifier)
    (expected,) = predictor(TEXTS[:1])
    predictor.close()
    assert (good["label"], good["score"]) == (expected.value.label, expected.value.score)
    assert json.loads(good["scores"]) == dict(expected.value.scores)
    assert not good["error"]
    assert not bad["label"]
    assert "empty" in bad["error"]


def test_a_column_of_files_is_answered_as_one_of_text_is(sqlite_uri: str, tiny_images: Path, tmp_path: Path) -> None:
    version = Registry.open(sqlite_uri).register(open_bundle(tiny_images))
    images = [picture(3, 20, 12), b"no image"]
    code = f"""
import json, mlflow, pandas
model = mlflow.pyfunc.load_model("models:/{version.name}@candidate")
frame = model.predict(pandas.DataFrame({{"inputs": {images!r}}}))
example = model.input_example
again = model.predict(example)
columns = model.metadata.signature.inputs.to_dict()
print(json.dumps({{"rows": frame.to_dict("records"), "example": again.to_dict("records"), "columns": columns}}))
"""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": sqlite_uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert [(column["name"], column["type"]) for column in answer["columns"]] == [("inputs", "binary")]
    good, bad = answer["rows"]
    predictor = dragoman.load(tiny_images)
    (expected,) = predictor(images[:1])
    (example,) = predictor([predictor.task.example_item])
    predictor.close()
    assert (good["label"], good["score"]) == (expected.value.label, expected.value.score)
    assert "no image" in bad["error"]
    assert answer["example"][0]["label"] == example.value.label
