"""The conversion of a trained BERT to CTranslate2 with int8 weights, and its head beside, for the CPU engine."""

from pathlib import Path

from ctranslate2.converters import TransformersConverter
from safetensors.numpy import load_file, save_file

from dragoman.engines.ct2_encoder import HEAD
from train.tasks.text_classification.bert.quiet import quiet


def convert(model_dir: Path, destination: Path) -> None:
    """Convert a model in Hugging Face layout; the same weights give the same bytes.

    CTranslate2 takes encoder and pooler alone, so the classifier stays beside them as it is, in 32 bits.
    """
    with quiet():
        TransformersConverter(str(model_dir)).convert(str(destination), quantization="int8")
    weights = load_file(model_dir / "model.safetensors")
    save_file(
        {name: weights[name].astype("float32") for name in ("classifier.weight", "classifier.bias")}, destination / HEAD
    )
