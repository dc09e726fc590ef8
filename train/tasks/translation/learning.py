"""T5 while it learns: padded batches, the loss, and greedy translations for validation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, EncoderDecoderCache

from dragoman.text.tokenizer import EOS_ID, PAD_ID
from train.batches import Indices
from train.tasks.base import Encoded, padded

IGNORED = -100
# A hypothesis may be this much longer than the longest reference of its batch before it is cut.
EXTRA_TOKENS = 16

Batch = Mapping[str, torch.Tensor]


def collate(encoded: Encoded, rows: Indices) -> dict[str, torch.Tensor]:
    """Pad rows, mask the padding, and shift the labels into decoder inputs."""
    sources = torch.from_numpy(padded([encoded["input_ids"][row] for row in rows], PAD_ID).astype(np.int64))
    targets = torch.from_numpy(padded([encoded["labels"][row] for row in rows], IGNORED).astype(np.int64))
    # Teacher forcing: the decoder sees the padding id, which starts every T5 sequence, and then all but the last label.
    shifted = torch.roll(targets, 1, dims=1).masked_fill(torch.roll(targets, 1, dims=1) == IGNORED, PAD_ID)
    shifted[:, 0] = PAD_ID
    return {
        "input_ids": sources,
        "attention_mask": (sources != PAD_ID).long(),
        "decoder_input_ids": shifted,
        "labels": targets,
    }


def cross_entropy(model: Any, batch: Batch, label_smoothing: float) -> torch.Tensor:
    """Compute the mean cross-entropy per target token."""
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).logits
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        batch["labels"].flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )


def target_tokens(batch: Batch) -> int:
    """Count the labels that are no padding."""
    return int((batch["labels"] != IGNORED).sum())


def greedy(model: Any, batch: Batch) -> list[Sequence[int]]:
    """Translate every row greedily into token ids, without the end mark."""
    generated = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        past_key_values=growing_cache(),
        max_new_tokens=batch["labels"].shape[1] + EXTRA_TOKENS,
        do_sample=False,
        num_beams=1,
    )
    return [_until_end(ids) for ids in generated[:, 1:].tolist()]


def _until_end(ids: Sequence[int]) -> Sequence[int]:
    return ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids


def growing_cache() -> EncoderDecoderCache:
    """Make an empty cache that takes as many layers as come.

    Transformers itself counts the encoder's layers, and fails on a decoder that has more.
    """
    return EncoderDecoderCache(DynamicCache(), DynamicCache())
