"""What a bundle may hold, as allow-lists: data that is loaded, never code that is run.

A digest proves that a file is the one that was packed, not that it is harmless. Files are therefore limited to
safetensors, CTranslate2's own format, JSON, text and the SentencePiece model, and ``config.json`` to keys that describe
a T5: loaders have run code named there (``auto_map``) even when told to trust none (CVE-2026-4372).
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from dragoman.errors import BundleError

FILES = re.compile(
    r"config\.yaml|MODEL_CARD\.md"
    r"|model/(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json"
    r"|model/(model|model-\d{5}-of-\d{5})\.safetensors|model/model\.safetensors\.index\.json|model/spiece\.model"
    r"|engines/ct2-[a-z0-9]+/(model\.bin|config\.json|(shared|source|target)_vocabulary\.json|vmap\.txt)"
)
MODEL_CONFIG_KEYS = frozenset(
    """
    _name_or_path architectures bos_token_id classifier_dropout d_ff d_kv d_model decoder_start_token_id dense_act_fn
    dropout_rate dtype eos_token_id feed_forward_proj initializer_factor is_decoder is_encoder_decoder is_gated_act
    layer_norm_epsilon model_type n_positions num_decoder_layers num_heads num_layers output_past pad_token_id
    relative_attention_max_distance relative_attention_num_buckets scale_decoder_outputs task_specific_params
    tie_encoder_decoder tie_word_embeddings torch_dtype transformers_version use_cache vocab_size
    """.split()  # noqa: SIM905 - forty names read better as words than as forty quoted strings
)


def check_contents(root: Path, files: Iterable[str]) -> None:
    """Raise BundleError for a file or a model configuration key that is not on the lists."""
    for name in files:
        if not FILES.fullmatch(name):
            raise BundleError(f"{root / name} may not be part of a bundle, which holds weights, vocabularies and text")
    _check_model_config(root / "model" / "config.json")


def _check_model_config(path: Path) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path} must hold a JSON object, got {type(config).__name__}")
    if unknown := sorted(set(config) - MODEL_CONFIG_KEYS):
        raise BundleError(f"{path} holds keys that do not describe a T5: {', '.join(unknown)}; remove them")
    if config.get("model_type") != "t5":
        raise BundleError(f"{path} describes a model of type {config.get('model_type')!r}; t5 is accepted")
