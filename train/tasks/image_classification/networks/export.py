"""The export of a classifier to ONNX, the form in which every engine opens it."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from dragoman.engines.onnx.graph import LOGITS, OPSET, PIXELS, write_graph
from dragoman.errors import BundleError, DataError
from dragoman.tasks.image_classification.options import Preprocessing
from train.tasks.image_classification.networks.classifier import Classifier

# Traced with two images: of one, the exporter might take the size of the batch for a constant.
TRACED = 2


def export_graph(classifier: Classifier, preprocessing: Preprocessing, path: Path, *, labels: int) -> None:
    """Write the graph of a classifier; the same weights give the same bytes.

    Raises DataError naming the operator that cannot be exported, or that no engine of ours has.
    """
    example = torch.zeros(TRACED, preprocessing.height, preprocessing.width, 3, dtype=torch.uint8)
    classifier.eval()
    with torch.no_grad(), _quiet():
        try:
            program: Any = torch.onnx.export(
                classifier,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[PIXELS],
                output_names=[LOGITS],
                dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise DataError(f"this network cannot be exported to ONNX: {_reason(error)}; choose another one") from error
    try:
        write_graph(program.model_proto, path, height=preprocessing.height, width=preprocessing.width, labels=labels)
    except BundleError as error:
        raise DataError(f"this network cannot be served: {error}") from error


def _reason(error: BaseException) -> str:
    """Find the sentence that names the operator: that of the first error, of which the last tell how it came up."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the exporter's notes on its progress and on its own libraries from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
