"""A BERT with random weights, its vocabulary, its conversion and its head: a whole bundle in a second or two."""

import contextlib
import io
from dataclasses import asdict
from pathlib import Path

from dragoman.bundle.manifest import Provenance, Score
from dragoman.bundle.store import write_bundle
from dragoman.tasks.text_classification.options import Limits, Options

LABELS = ("earn", "acq", "crude", "grain")
# Small, so that tests reach them quickly.
SMALL_LIMITS = Limits(max_characters=4_000, max_items=16, max_body_bytes=60_000)


def write_tiny_classifier(
    folder: Path,
    sentences: list[str],
    *,
    seed: int = 1,
    width: int = 32,
    labels: tuple[str, ...] = LABELS,
    window_tokens: int = 48,
    name: str = "tiny-news",
    limits: Limits = SMALL_LIMITS,
) -> Path:
    """Write the bundle into ``folder``/bundle; another seed gives another model over the same vocabulary."""
    model_dir = folder / "model"
    model_dir.mkdir()
    _write_vocabulary(model_dir, sentences)
    _write_weights(model_dir, seed, width, labels, window_tokens)
    _convert(model_dir, folder / "ct2")
    options = Options(labels=labels, window_tokens=window_tokens, overlap_tokens=window_tokens // 4, temperature=1.5)
    write_bundle(
        folder / "bundle",
        name=name,
        task="text_classification",
        options=asdict(options),
        limits=asdict(limits),
        provenance=Provenance(config_digest="0" * 64, corpus_fingerprint="toy"),
        scores=[
            Score(
                metric="accuracy",
                value=90.0 + seed,
                signature="accuracy|version:1",
                test_set="toy",
                items=10,
                low=80.0,
                high=99.0,
                engine="ctranslate2",
            )
        ],
        model_dir=model_dir,
        engines={"ct2-int8": folder / "ct2"},
        config_yaml=f"name: {name}\n",
    )
    return folder / "bundle"


def _write_vocabulary(model_dir: Path, sentences: list[str]) -> None:
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(sentences, vocab_size=150, min_frequency=1, show_progress=False)
    tokenizer.save(str(model_dir / "tokenizer.json"))
    BertTokenizerFast(tokenizer_file=str(model_dir / "tokenizer.json")).save_pretrained(model_dir)


def _write_weights(model_dir: Path, seed: int, width: int, labels: tuple[str, ...], window_tokens: int) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from dragoman.text.wordpiece import WordPiece

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=WordPiece(model_dir / "tokenizer.json").size,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=window_tokens,
        # The converter asks for it, and transformers no longer has it.
        position_embedding_type="absolute",
        # Large for such a model, so that texts get different answers, and not so large that rounding shows.
        initializer_range=1.2 * width**-0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                # Biases that are all zero would hide their absence.
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(model_dir)


def _convert(model_dir: Path, destination: Path) -> None:
    from ctranslate2.converters import TransformersConverter
    from safetensors.numpy import load_file, save_file

    with contextlib.redirect_stderr(io.StringIO()):
        TransformersConverter(str(model_dir)).convert(str(destination), quantization="int8")
    tensors = load_file(model_dir / "model.safetensors")
    head = {name: tensors[name] for name in ("classifier.weight", "classifier.bias")}
    save_file(head, destination / "head.safetensors")
