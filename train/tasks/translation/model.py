"""The T5 that is trained: made from random weights or pretrained ones, written in Hugging Face layout."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from dragoman.bundle.manifest import BaseModel
from dragoman.errors import DataError
from dragoman.tasks.translation.contents import MODEL_CONFIG_KEYS
from dragoman.text.tokenizer import EOS_ID, PAD_ID, Tokenizer
from train.data.pretrained import find_pretrained
from train.tasks.torchvision_pair import pair_torchvision
from train.tasks.translation.model_settings import PretrainedModel, ScratchModel
from train.tasks.translation.vocabulary import SPIECE, find_vocabulary, train_vocabulary, write_tokenizer_files

# transformers imports torchvision with its first model.
pair_torchvision()

# T5's own vocabulary has 32,000 pieces and 128 rows more; a vocabulary given by path keeps that so that its pieces fit.
T5_PIECES, T5_ROWS = 32_000, 32_128
HUB_FILES = ["config.json", "model.safetensors", SPIECE]
HINTS = {SPIECE: f"{SPIECE} is in the T5 that it was fine-tuned from: copy it (tokenizer.json cannot stand for it)"}


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """A model to train with its vocabulary; ``base_model`` are the weights it starts from, if any."""

    model: Any
    tokenizer: Tokenizer
    vocabulary: bytes
    base_model: BaseModel | None


def prepare_model(settings: PretrainedModel | ScratchModel, texts: Sequence[str], *, seed: int) -> PreparedModel:
    """Load or build the model; ``texts`` train a vocabulary where none is given."""
    transformers.utils.logging.disable_progress_bar()
    if isinstance(settings, PretrainedModel):
        return _pretrained(settings)
    if settings.tokenizer_path is not None:
        vocabulary = find_vocabulary(settings.tokenizer_path).read_bytes()
    else:
        vocabulary = train_vocabulary(texts, settings.vocab_size)
    tokenizer = _tokenizer(vocabulary)
    torch.manual_seed(seed)
    model = transformers.T5ForConditionalGeneration(t5_config(settings, tokenizer.size))
    return PreparedModel(model=model, tokenizer=tokenizer, vocabulary=vocabulary, base_model=None)


def t5_config(settings: ScratchModel, pieces: int) -> Any:
    """Make the T5 configuration of a model from scratch over so many pieces."""
    return transformers.T5Config(
        vocab_size=T5_ROWS if pieces == T5_PIECES else pieces,
        d_model=settings.d_model,
        d_kv=settings.d_kv,
        d_ff=settings.d_ff,
        num_heads=settings.num_heads,
        num_layers=settings.num_layers,
        num_decoder_layers=settings.num_decoder_layers,
        feed_forward_proj=settings.feed_forward,
        dropout_rate=settings.dropout,
        decoder_start_token_id=PAD_ID,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
    )


def parameter_groups(model: Any, embedding_lr_scale: float) -> list[dict[str, Any]]:
    """Make the optimizer's groups: the embeddings, whose learning rate is scaled, and everything else.

    T5 starts its embeddings at unit variance and its other matrices at about 1/width. Adam moves every weight by the
    same amount a step, so the embeddings would hardly move; Adafactor, which T5 was made with, scales by the size of a
    matrix instead (Shazeer and Stern 2018, section 8).
    """
    embeddings = list(model.get_input_embeddings().parameters())
    known = {id(parameter) for parameter in embeddings}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [{"params": embeddings, "lr_scale": embedding_lr_scale}, {"params": others, "lr_scale": 1.0}]


def write_model(model: Any, vocabulary: bytes, model_dir: Path) -> None:
    """Write weights, configuration and tokenizer in Hugging Face layout; the same weights give the same bytes."""
    model.save_pretrained(model_dir)
    transformers.GenerationConfig(
        decoder_start_token_id=PAD_ID, pad_token_id=PAD_ID, eos_token_id=EOS_ID
    ).save_pretrained(model_dir)
    write_tokenizer_files(model_dir, vocabulary)


def _tokenizer(vocabulary: bytes) -> Tokenizer:
    with tempfile.TemporaryDirectory(prefix="dragoman-vocabulary-") as folder:
        (Path(folder) / SPIECE).write_bytes(vocabulary)
        return Tokenizer(Path(folder) / SPIECE)


def _pretrained(settings: PretrainedModel) -> PreparedModel:
    found = find_pretrained(settings.path, settings.revision, HUB_FILES, task="translation", hints=HINTS)
    folder = found.folder
    unknown = set(json.loads((folder / "config.json").read_text(encoding="utf-8"))) - MODEL_CONFIG_KEYS["t5"]
    if unknown:
        # The bundle would refuse them too, but only after training.
        raise DataError(
            f"{folder / 'config.json'} holds keys that do not describe a T5: {', '.join(sorted(unknown))}; remove them"
        )
    try:
        model = transformers.T5ForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, dropout_rate=settings.dropout
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"cannot load the model in {folder}: {str(error).splitlines()[0]}") from error
    vocabulary = (folder / SPIECE).read_bytes()
    tokenizer = _tokenizer(vocabulary)
    if tokenizer.size > model.config.vocab_size:
        raise DataError(f"{folder} has {tokenizer.size} pieces but weights for {model.config.vocab_size}")
    return PreparedModel(model=model, tokenizer=tokenizer, vocabulary=vocabulary, base_model=found.base_model)
