"""The training half of text classification."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dragoman.errors import ConfigError, DataError
from dragoman.tasks.text_classification.options import Options
from dragoman.tasks.text_classification.windows import SPECIAL_TOKENS, cut_windows
from dragoman.text.wordpiece import WordPiece
from train.batches import Batch, Indices, Lengths, by_length, cut
from train.data.corpus import CleanCorpus, Splits
from train.tasks.base import Answered, Baseline, Encoded, Task, padded
from train.tasks.classification.calibration import FIGURES, PartLogits, calibrate, chosen_for_calibration, outputs
from train.tasks.classification.classes import check_known, class_names, class_weights, given_names
from train.tasks.text_classification.baselines import fit_baselines
from train.tasks.text_classification.bert.settings import ScratchModel
from train.tasks.text_classification.cleaning import WORDS, clean
from train.tasks.text_classification.examples import LabelledText, read_examples
from train.tasks.text_classification.settings import TextClassificationConfig

if TYPE_CHECKING:
    import torch

    from train.tasks.text_classification.bert.model import PreparedModel


class TextClassification(Task):
    """The training of a classifier of texts."""

    Settings = TextClassificationConfig
    metrics = ("macro-F1", "accuracy", "ECE")
    unit = "token"
    search = "topics"
    imports = "bert_base"
    commands: ClassVar[Mapping[str, str]] = {
        "task=text_classification": "the generated topics, bert_small",
        "task=text_classification data=r8": "Reuters' news in eight classes, ten minutes",
        "task=text_classification data=labelled data.path=articles.csv": "a table of your own",
        "task=text_classification data=r8 model=bert_base": "weights from the Hugging Face hub",
        "task=text_classification data=r8 model=bert_base model.path=DIRECTORY": "weights from a local directory",
        "import task=text_classification model.path=DIRECTORY test=test.csv": "a bundle from a BERT that exists",
    }

    tokenizer: WordPiece
    tokenizer_json: bytes
    mask_id: int
    labels: tuple[str, ...]
    weights: "torch.Tensor"
    temperature = 1.0

    @classmethod
    def read_files(cls, files: Sequence[Path], columns: Sequence[str] | None = None) -> list[LabelledText]:
        """Read a table of labelled texts, by default from its columns text and label."""
        if len(files) != 1:
            raise ConfigError(f"give a test set of one table, with a column of labels; got {files[1]} as well")
        text_column, label_column = columns or ("text", "label")
        return read_examples(files[0], text_column, label_column, settings="columns, INPUT and REFERENCE")

    @classmethod
    def check_references(cls, options: Mapping[str, Any], examples: Sequence[LabelledText]) -> None:
        """Raise DataError for labels that the model does not know."""
        check_known(options, examples)

    # The corpus

    def read(self) -> Splits:
        """Read the labelled texts; raises DataError."""
        splits: Splits = self.config.data.read()
        return splits

    def clean(self, splits: Splits) -> CleanCorpus:
        """Leave out bad and leaking texts (see ``train.tasks.text_classification.cleaning``)."""
        return clean(splits, self.config.classes)

    # The model

    def make_model(self, splits: Splits, assets: Path | None) -> "torch.nn.Module":
        """Build a BERT, or load one; a new one's vocabulary is learned from the training texts."""
        made = self._prepare(splits, assets)
        self.weights = class_weights(self.config.classes.weights, made.labels, splits.train)
        return self._take(made)

    def _take(self, made: "PreparedModel") -> "torch.nn.Module":
        if made.mask_id is None and self.config.model.masked_tokens:
            raise DataError("the tokenizer has no [MASK]; set model.masked_tokens=0")
        self.tokenizer, self.tokenizer_json, self.mask_id = made.tokenizer, made.tokenizer_json, made.mask_id or 0
        self.labels, self.base_model = made.labels, made.base_model
        model: torch.nn.Module = made.model
        return model

    def import_model(self) -> "torch.nn.Module":
        """Load a classifier, whose classes are ``classes.names`` in the order of its outputs, or its own names."""
        from train.tasks.text_classification.bert.model import imported_model

        names = self.config.classes.names and given_names(self.config.classes.names)
        return self._take(imported_model(self.config.model, names, positions=self.config.windows.tokens))

    def _prepare(self, splits: Splits, assets: Path | None) -> "PreparedModel":
        from train.tasks.text_classification.bert import model
        from train.tasks.text_classification.bert.vocabulary import TOKENIZER

        settings, labels = self.config.model, class_names(splits, self.config.classes, WORDS)
        positions, seed = self.config.windows.tokens, self.config.train.seed
        if isinstance(settings, ScratchModel):
            known = None if assets is None else (assets / TOKENIZER).read_bytes()
            texts = [text for text, _ in splits.train]
            return model.scratch_model(settings, labels, texts, known, positions=positions, seed=seed)
        named = self.config.classes.names is not None
        made = model.pretrained_model(settings, labels, named=named, positions=positions, seed=seed)
        if self.config.train.max_steps == 0 and not made.has_head:
            raise DataError(
                f"{settings.path} has no classifier for the classes {', '.join(labels)}, and train.max_steps=0 would "
                "pack a random one; train it, or import one that was trained for these classes (python -m train import)"
            )
        return made

    def assets(self) -> Mapping[str, bytes]:
        """Give the tokenizer."""
        from train.tasks.text_classification.bert.vocabulary import TOKENIZER

        return {TOKENIZER: self.tokenizer_json}

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        """Give the head of a pretrained model, with a learning rate of its own, and everything that is trained else."""
        from train.tasks.text_classification.bert.model import parameter_groups

        return parameter_groups(model, self.config.model)

    def summary(self) -> str:
        """Tell the size of the vocabulary."""
        return f"{self.tokenizer.size:,} WordPiece tokens"

    # Learning

    def encode(self, examples: Sequence[LabelledText]) -> Encoded:
        """Turn texts into the ids of their first window, and labels into the rows of outputs."""
        most, tokenizer = self.config.windows.tokens - SPECIAL_TOKENS, self.tokenizer
        rows = {label: row for row, label in enumerate(self.labels)}
        return {
            "input_ids": [
                np.array([tokenizer.cls_id, *tokenizer.encode(text)[:most], tokenizer.sep_id], dtype=np.int32)
                for text, _ in examples
            ],
            "labels": [np.array(rows[label], dtype=np.int64) for _, label in examples],
        }

    def lengths(self, encoded: Encoded) -> Lengths:
        """Count the tokens that are read of each text."""
        return np.array([[len(ids)] for ids in encoded["input_ids"]], dtype=np.int64)

    def collate(self, encoded: Encoded, rows: Indices) -> Batch:
        """Pad rows, and mark their padding."""
        tensors = {name: tensor.long() for name, tensor in super().collate(encoded, rows).items()}
        lengths = [len(encoded["input_ids"][row]) for row in rows]
        return {**tensors, "attention_mask": _mask(lengths)}

    def loss(self, model: Any, batch: Batch, *, label_smoothing: float) -> "torch.Tensor":
        """Compute the mean label-smoothed cross-entropy; in training weighted by class, of texts with tokens masked."""
        import torch

        ids = batch["input_ids"]
        if model.training and (share := self.config.model.masked_tokens):
            inside = (ids != self.tokenizer.cls_id) & (ids != self.tokenizer.sep_id) & (batch["attention_mask"] == 1)
            ids = ids.masked_fill(inside & (torch.rand(ids.shape, device=ids.device) < share), self.mask_id)
        logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits.float()
        losses = torch.nn.functional.cross_entropy(
            logits, batch["labels"], label_smoothing=label_smoothing, reduction="none"
        )
        if model.training:
            # Not cross_entropy's own weights: it divides by their sum in a batch, so that rare classes hardly count.
            losses = losses * self.weights.to(losses.device)[batch["labels"]]
        return losses.mean()

    def outputs(self, model: Any, batch: Batch) -> list[dict[str, float]]:
        """Give the probabilities of the labels by the first window of each text."""
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        rows = logits.double().cpu().numpy()
        return outputs(PartLogits.whole(rows), self.labels, self.temperature)

    # The weights that were chosen

    def finish(self, model: Any, validation: Sequence[LabelledText]) -> Mapping[str, float]:
        """Fit the temperature to validation texts; returns it with the calibration error before and after."""
        chosen = chosen_for_calibration(validation)
        windows = self._window_logits(model, [text for text, _ in chosen])
        figures = calibrate(windows, [label for _, label in chosen], self.labels)
        self.temperature = figures[f"{FIGURES}/temperature"]
        return figures

    def _window_logits(self, model: Any, texts: Sequence[str]) -> PartLogits:
        """Compute the logits of every window of the texts, as they are served."""
        import torch

        model.eval()
        device, windows = next(model.parameters()).device, self.config.windows
        cuts = [
            cut_windows(
                self.tokenizer.encode(text),
                cls_id=self.tokenizer.cls_id,
                sep_id=self.tokenizer.sep_id,
                window_tokens=windows.tokens,
                overlap_tokens=windows.overlap,
            )
            for text in texts
        ]
        ids = [np.array(window.ids) for text in cuts for window in text]
        lengths = np.array([[len(row)] for row in ids], dtype=np.int64)
        logits = np.zeros((len(ids), len(self.labels)))
        with torch.no_grad():
            for rows in cut(by_length(np.arange(len(ids)), lengths), lengths, self.config.train.batch_units):
                stacked = torch.from_numpy(padded([ids[row] for row in rows], self.tokenizer.pad_id))
                mask = _mask([len(ids[row]) for row in rows])
                found = model(input_ids=stacked.to(device), attention_mask=mask.to(device)).logits
                logits[rows] = found.double().cpu().numpy()
        weights = [window.new_tokens / sum(part.new_tokens for part in text) for text in cuts for window in text]
        starts = np.cumsum([0, *(len(text) for text in cuts[:-1])])
        return PartLogits(rows=logits, weights=np.array(weights), starts=starts)

    def baselines(self, training: Sequence[LabelledText]) -> Sequence[Baseline]:
        """Fit the majority class and a linear SVM over words."""
        return fit_baselines(training)

    def pictures(self, answered: Mapping[str, Answered]) -> Mapping[str, bytes]:
        """Draw the confusion matrix and the reliability diagram of every held-out set."""
        from train.tasks.classification.pictures import draw

        return draw(answered, self.labels, self.temperature, items="texts")

    # The bundle

    def options(self) -> Mapping[str, Any]:
        """Give labels, windows and temperature."""
        windows = self.config.windows
        return dataclasses.asdict(
            Options(
                labels=self.labels,
                window_tokens=windows.tokens,
                overlap_tokens=windows.overlap,
                temperature=self.temperature,
            )
        )

    def limits(self) -> Mapping[str, Any]:
        """Give the limits of requests."""
        return dataclasses.asdict(self.config.limits)

    def write_model(self, model: Any, folder: Path) -> None:
        """Write weights, configuration and tokenizer in Hugging Face layout."""
        from train.tasks.text_classification.bert.model import write_model

        write_model(model, self.tokenizer_json, folder)

    def convert(self, model_dir: Path, folder: Path, training: Encoded) -> Mapping[str, Path]:
        """Convert to CTranslate2, with the classifier beside."""
        from dragoman.engines.ct2_batches import CONVERSION
        from train.tasks.text_classification.bert.conversion import convert

        convert(model_dir, folder / CONVERSION)
        return {CONVERSION: folder / CONVERSION}


def _mask(lengths: Sequence[int]) -> "torch.Tensor":
    """Mark the tokens of rows that are padded at their ends."""
    import torch

    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
