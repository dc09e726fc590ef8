"""The training half of translation."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dragoman.errors import ConfigError
from dragoman.tasks.translation.options import Languages, Options, Preprocessing
from dragoman.text.tokenizer import EOS_ID, PAD_ID, Tokenizer
from train.batches import Batch, Indices, Lengths
from train.data.corpus import CleanCorpus, Splits
from train.data.table import TableFile, format_of
from train.tasks.base import Encoded, Task
from train.tasks.translation.cleaning import clean
from train.tasks.translation.model_settings import ScratchModel
from train.tasks.translation.pairs import Pair, read_aligned
from train.tasks.translation.settings import TranslationConfig
from train.tasks.translation.sources.table import read_pairs
from train.tasks.translation.vocabulary import SPIECE

if TYPE_CHECKING:
    import torch

# Cross-entropy's own mark for labels that do not count.
IGNORED = -100
# A hypothesis may be this much longer than the longest reference of its batch before it is cut.
EXTRA_TOKENS = 16


class Translation(Task):
    """The training of one direction of translation."""

    Settings = TranslationConfig
    metrics = ("chrF", "BLEU")
    further_metrics = ("BLEU-lc",)
    unit = "token"
    fillers: ClassVar[Mapping[str, int]] = {"input_ids": PAD_ID, "labels": IGNORED}
    search = "phrasebook"
    imports = "t5_small"
    commands: ClassVar[Mapping[str, str]] = {
        "": "the embedded phrasebook, t5_tiny, twenty minutes",
        "train.max_minutes=2": "the same, in two minutes",
        "data=multi30k model=t5_tiny train.max_steps=4000": "",
        "data=parallel data.source=corpus.en data.target=corpus.de": "",
        "data=tsv data.path=pairs.tsv data.source_column=english data.target_column=german": "",
        "data=wmt19 data.max_rows=500000 model=t5_small": "",
        "model=t5_small model.path=DIRECTORY": "pretrained weights from a local directory",
        "import task=translation model.path=DIRECTORY test=test.en reference=test.de": "a bundle from a T5 that exists",
    }

    tokenizer: Tokenizer
    vocabulary: bytes

    @classmethod
    def read_files(cls, files: Sequence[Path], columns: Sequence[str] | None = None) -> list[Pair]:
        """Read two text files whose lines correspond, or two columns of a table; raises ConfigError or DataError."""
        if columns is not None and len(files) == 1:
            table = TableFile(path=files[0], format=format_of(files[0], setting="its name"))
            return read_pairs(table, columns, settings="columns, INPUT and REFERENCE")
        if len(files) != 2:
            raise ConfigError(
                f"give a test set of two files, whose lines correspond: a reference beside {files[0]}; of a table, say "
                "which columns are input and reference"
            )
        return read_aligned(*files)

    @property
    def languages(self) -> Languages:
        """The direction of the translation."""
        return Languages(source=self.config.task.source, target=self.config.task.target)

    def read(self) -> Splits:
        """Read the sentence pairs; raises DataError."""
        splits: Splits = self.config.data.read(self.languages)
        return splits

    def clean(self, splits: Splits) -> CleanCorpus:
        """Leave out bad and leaking pairs (see ``train.tasks.translation.cleaning``)."""
        return clean(splits, self.config.cleaning, self.languages)

    def make_model(self, splits: Splits, assets: Path | None) -> "torch.nn.Module":
        """Build a T5, or load one; its vocabulary is given, or trained on both sides of the training pairs."""
        from train.tasks.translation.model import prepare_model

        settings = self.config.model
        if assets is not None and isinstance(settings, ScratchModel):
            settings = dataclasses.replace(settings, tokenizer_path=str(assets.resolve()))
        texts = [text for pair in splits.train for text in pair]
        made = prepare_model(settings, texts, seed=self.config.train.seed)
        self.tokenizer, self.vocabulary, self.base_model = made.tokenizer, made.vocabulary, made.base_model
        model: torch.nn.Module = made.model
        return model

    def assets(self) -> Mapping[str, bytes]:
        """Give the vocabulary."""
        return {SPIECE: self.vocabulary}

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        """Give the embeddings, with a learning rate of their own, and everything else."""
        from train.tasks.translation.model import parameter_groups

        return parameter_groups(model, self.config.model.embedding_lr_scale)

    def summary(self) -> str:
        """Tell the size of the vocabulary."""
        return f"{self.tokenizer.size:,} pieces"

    def encode(self, examples: Sequence[Pair]) -> Encoded:
        """Turn pairs into token ids with the end mark; labels are those of the reference."""
        ids, prefix = self.tokenizer.encode, self.config.model.prefix
        return {
            "input_ids": [np.array([*ids(prefix + source), EOS_ID], dtype=np.int32) for source, _ in examples],
            "labels": [np.array([*ids(target), EOS_ID], dtype=np.int32) for _, target in examples],
        }

    def lengths(self, encoded: Encoded) -> Lengths:
        """Count the tokens of source and reference."""
        return np.array([[len(ids) for ids in encoded[side]] for side in ("input_ids", "labels")], dtype=np.int64).T

    def longest(self) -> int | None:
        """Give the longest side of a pair that is trained on."""
        return int(self.config.cleaning.max_tokens)

    def collate(self, encoded: Encoded, rows: Indices) -> Batch:
        """Pad rows, mask the padding of sources, and shift the labels into decoder inputs."""
        tensors = {name: tensor.long() for name, tensor in super().collate(encoded, rows).items()}
        # Teacher forcing: the decoder sees the padding id, which starts every T5 sequence, then all but the last label.
        shifted = tensors["labels"].roll(1, dims=1)
        shifted = shifted.masked_fill(shifted == IGNORED, PAD_ID)
        shifted[:, 0] = PAD_ID
        mask = (tensors["input_ids"] != PAD_ID).long()
        return {**tensors, "attention_mask": mask, "decoder_input_ids": shifted}

    def loss(self, model: Any, batch: Batch, *, label_smoothing: float) -> "torch.Tensor":
        """Compute the mean label-smoothed cross-entropy per target token."""
        import torch

        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
        logits = model(**inputs, use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1),
            batch["labels"].flatten(),
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
        )

    def loss_weight(self, batch: Batch) -> int:
        """Count the target tokens."""
        return int((batch["labels"] != IGNORED).sum())

    def outputs(self, model: Any, batch: Batch) -> list[str]:
        """Translate greedily."""
        from transformers import DynamicCache, EncoderDecoderCache

        generated = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            # Transformers' own cache has as many layers as the encoder, and fails on a decoder that has more.
            past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            max_new_tokens=batch["labels"].shape[1] + EXTRA_TOKENS,
            do_sample=False,
            num_beams=1,
        )
        # The first id is the one that starts every sequence, the end mark is no text.
        ended = (ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids for ids in generated[:, 1:].tolist())
        return [self.tokenizer.decode(ids) for ids in ended]

    def options(self) -> Mapping[str, Any]:
        """Give languages, prefix and decoding."""
        prefix = Preprocessing(prefix=self.config.model.prefix)
        return dataclasses.asdict(
            Options(languages=self.languages, preprocessing=prefix, decoding=self.config.decoding)
        )

    def limits(self) -> Mapping[str, Any]:
        """Give the limits of requests."""
        return dataclasses.asdict(self.config.limits)

    def write_model(self, model: Any, folder: Path) -> None:
        """Write weights, configuration and tokenizer in Hugging Face layout."""
        from train.tasks.translation.model import write_model

        write_model(model, self.vocabulary, folder)

    def convert(self, model_dir: Path, folder: Path, training: Encoded) -> Mapping[str, Path]:
        """Convert to CTranslate2, whose answers may be limited to the pieces of the training pairs.

        Both sides count, since names are copied from sources.
        """
        from dragoman.engines.ct2_batches import CONVERSION
        from train.tasks.translation.conversion import convert

        pieces = None
        if self.config.export.target_vocabulary == "corpus":
            if not training:
                raise ConfigError("export.target_vocabulary=corpus needs a training corpus, and an import has none")
            pieces = frozenset(
                int(piece) for side in ("input_ids", "labels") for piece in np.unique(np.concatenate(training[side]))
            )
        convert(model_dir, folder / CONVERSION, target_pieces=pieces)
        return {CONVERSION: folder / CONVERSION}
