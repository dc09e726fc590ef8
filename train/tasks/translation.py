"""The training half of translation: ids from text, padded batches, the loss, and chrF by real decoding."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, EncoderDecoderCache

from dragoman.engines.t5.tokenizer import EOS_ID, PAD_ID, Tokenizer
from dragoman.segments import Pair
from train.batches import Indices, Lengths, TokenBatches, by_length, cut
from train.scoring import quick_scores

IGNORED = -100
# A hypothesis may be this much longer than the longest reference of its batch before it is cut.
EXTRA_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class EncodedPairs:
    """Pairs as token ids with the end mark, one array a sentence."""

    sources: Sequence[npt.NDArray[np.int32]]
    targets: Sequence[npt.NDArray[np.int32]]

    @property
    def source_lengths(self) -> Lengths:
        """Tokens of each source."""
        return np.array([len(ids) for ids in self.sources], dtype=np.int64)

    @property
    def target_lengths(self) -> Lengths:
        """Tokens of each target."""
        return np.array([len(ids) for ids in self.targets], dtype=np.int64)


class TranslationTask:
    """Learns one direction of translation; ``train.loop.Learner`` says what the loop asks of it."""

    objective = "chrf"

    def __init__(
        self,
        train: Sequence[Pair],
        validation: Sequence[Pair],
        tokenizer: Tokenizer,
        *,
        prefix: str,
        max_tokens: int,
        label_smoothing: float,
        validation_samples: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        """Encode the pairs; training pairs of more than ``max_tokens`` on a side are left out and counted.

        Validation takes a fixed random part of its pairs.
        """
        self._tokenizer, self._prefix = tokenizer, prefix
        self._label_smoothing, self._batch_tokens, self._seed = label_smoothing, batch_tokens, seed
        encoded = self._encode(train)
        fits = np.maximum(encoded.source_lengths, encoded.target_lengths) <= max_tokens
        self._train = EncodedPairs(
            sources=[ids for ids, fit in zip(encoded.sources, fits, strict=True) if fit],
            targets=[ids for ids, fit in zip(encoded.targets, fits, strict=True) if fit],
        )
        self.too_many_tokens = int((~fits).sum())
        self.train_size = int(fits.sum())
        chooser = random.Random(seed)  # noqa: S311 - a seeded choice, no secret
        chosen = chooser.sample(range(len(validation)), min(validation_samples, len(validation)))
        self._validation_pairs = [validation[row] for row in sorted(chosen)]
        self._validation = self._encode(self._validation_pairs)

    def pieces_seen(self) -> frozenset[int]:
        """The ids that the training pairs hold on either side: names are copied from sources."""
        sides = (*self._train.sources, *self._train.targets)
        return frozenset(map(int, np.unique(np.concatenate(sides)))) if sides else frozenset()

    def batches(self) -> TokenBatches:
        """The order of the training rows."""
        return TokenBatches(
            self._train.source_lengths, self._train.target_lengths, batch_tokens=self._batch_tokens, seed=self._seed
        )

    def batch(self, rows: Indices) -> dict[str, torch.Tensor]:
        """Padded tensors of training rows, (rows, longest) each."""
        return _collate(self._train, rows)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean label-smoothed cross-entropy per target token."""
        return _cross_entropy(model, batch, self._label_smoothing)

    @torch.no_grad()
    def validate(self, model: Any) -> dict[str, float]:
        """Loss per target token without smoothing, and BLEU and chrF of greedy translations."""
        model.eval()
        data, device = self._validation, next(model.parameters()).device
        rows = by_length(np.arange(len(data.sources)), data.source_lengths, data.target_lengths)
        hypotheses = [""] * len(data.sources)
        total, tokens = 0.0, 0
        for part in cut(rows, data.source_lengths, data.target_lengths, self._batch_tokens):
            batch = {name: tensor.to(device) for name, tensor in _collate(data, part).items()}
            count = int((batch["labels"] != IGNORED).sum())
            total, tokens = total + float(_cross_entropy(model, batch, 0.0)) * count, tokens + count
            limit = batch["labels"].shape[1] + EXTRA_TOKENS
            for row, text in zip(part, self._translate(model, batch, limit), strict=True):
                hypotheses[row] = text
        references = [reference for _, reference in self._validation_pairs]
        return {"loss": total / tokens, **quick_scores(hypotheses, references)}

    def _translate(self, model: Any, batch: Mapping[str, torch.Tensor], limit: int) -> list[str]:
        generated = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            past_key_values=growing_cache(),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
        )
        return [self._tokenizer.decode(_until_end(ids)) for ids in generated[:, 1:].tolist()]

    def _encode(self, pairs: Sequence[Pair]) -> EncodedPairs:
        encode, prefix = self._tokenizer.encode, self._prefix
        return EncodedPairs(
            sources=[np.array([*encode(prefix + source), EOS_ID], dtype=np.int32) for source, _ in pairs],
            targets=[np.array([*encode(target), EOS_ID], dtype=np.int32) for _, target in pairs],
        )


def _cross_entropy(model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
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


def _collate(data: EncodedPairs, rows: Indices) -> dict[str, torch.Tensor]:
    sources = _padded([data.sources[row] for row in rows], PAD_ID)
    targets = _padded([data.targets[row] for row in rows], IGNORED)
    # Teacher forcing: the decoder sees the padding id, which starts every T5 sequence, and then all but the last label.
    shifted = torch.roll(targets, 1, dims=1).masked_fill(torch.roll(targets, 1, dims=1) == IGNORED, PAD_ID)
    shifted[:, 0] = PAD_ID
    return {
        "input_ids": sources,
        "attention_mask": (sources != PAD_ID).long(),
        "decoder_input_ids": shifted,
        "labels": targets,
        "target_mask": (targets != IGNORED).long(),
    }


def _padded(sequences: Sequence[npt.NDArray[np.int32]], filler: int) -> torch.Tensor:
    padded = np.full((len(sequences), max(map(len, sequences))), filler, dtype=np.int64)
    for row, ids in enumerate(sequences):
        padded[row, : len(ids)] = ids
    return torch.from_numpy(padded)


def _until_end(ids: Sequence[int]) -> Sequence[int]:
    return ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids


def growing_cache() -> EncoderDecoderCache:
    """An empty cache that takes as many layers as come.

    Transformers itself counts the encoder's layers, and fails on a decoder that has more.
    """
    return EncoderDecoderCache(DynamicCache(), DynamicCache())
