"""CTranslate2's encoder: a BERT in int8 on a CPU by default, the engine that ships for classifiers."""

import weakref
from collections.abc import Mapping, Sequence

import ctranslate2
import numpy
from safetensors.numpy import load_file

from dragoman.bundle.store import Bundle
from dragoman.engines.bert.classifier import Floats, Head
from dragoman.engines.cpu import usable_cores
from dragoman.engines.ct2_batches import (
    CONVERSION,
    Widths,
    chosen_device,
    cpu_workers,
    missing_conversion,
)
from dragoman.engines.mixing import WIDEST, Verdict, check_mixing, even_batches, padded_width
from dragoman.errors import BundleError, InferenceError
from dragoman.items.sizes import Capacity

# CTranslate2 converts the encoder with its pooler and not the layer behind them, which lies beside the conversion.
HEAD = "head.safetensors"
# Part of the key of a stored verdict: increase it whenever the self-check changes, so that older verdicts are ignored.
CHECK_EDITION = "encoder 2"


class CTranslate2Encoder:
    """A CTranslate2 encoder over the bundle's int8 conversion, and the head beside it."""

    name = "ctranslate2"
    is_exact = True

    def __init__(self, bundle: Bundle, device: str, *, max_tokens: int, vocabulary: int, labels: int) -> None:
        """Load the conversion and settle how its sequences mix.

        Raises ConfigError when the device is not there, and BundleError when the conversion or its head is damaged.
        """
        self.device = chosen_device(device)
        # A BERT of 4 layers of width 512 takes 125 microseconds of one core for a token, in batches of 128 to 512
        # tokens alike, 135 in batches of 1,024 and 170 in batches of 2,048, which no cache holds. The largest of the
        # equal ones is taken, half of which counts as a short request: an article is one, a list of them is not.
        self.capacity = Capacity(parallel_batches=cpu_workers(usable_cores()), batch_cost=512)
        folder = bundle.engine_dir(CONVERSION)
        try:
            self._head = Head(load_file(folder / HEAD), labels=labels, origin=folder / HEAD)
            encoder = ctranslate2.Encoder(
                str(folder), device=self.device, inter_threads=self.capacity.parallel_batches, intra_threads=1
            )
        except BundleError:
            raise
        except Exception as error:
            # Neither library has a class of errors of its own.
            raise BundleError(f"cannot load {folder}: {error}; export the model again") from error
        # Its threads must end while Python still runs, also in a program that never closes the engine.
        self._encoders = [encoder]
        weakref.finalize(self, self._encoders.clear)
        self._max_tokens = max_tokens
        self._widths = Widths(bundle, self.device, lambda: self._check(vocabulary), edition=CHECK_EDITION)

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return the reason why this engine cannot run the bundle, or None."""
        return missing_conversion(bundle)

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``; ``mixing`` is free, or by_width where only sequences of one width share batches."""
        return {
            "engine": self.name,
            "device": self.device,
            "parallel": self.capacity.parallel_batches,
            **self._widths.describe(),
        }

    def batch_class(self, length: int) -> int:
        """See ``SequenceClassifier.batch_class``."""
        return self._widths.batch_class(length)

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """See ``SequenceClassifier.logits``."""
        output = self._forward(sequences, any_width=self._widths.any_width)
        return self._head.logits(_floats(output.pooler_output))

    def _forward(self, sequences: Sequence[Sequence[int]], *, any_width: bool) -> "ctranslate2.EncoderForwardOutput":
        # There are no embeddings of places beyond the longest sequence.
        width = min(padded_width(max(map(len, sequences)), any_width=any_width), self._max_tokens)
        # What fills the rows counts as nothing: the lengths say where each ends.
        ids = numpy.zeros((len(sequences), width), dtype=numpy.int32)
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = sequence
        lengths = numpy.array([len(sequence) for sequence in sequences], dtype=numpy.int32)
        try:
            return self._encoders[0].forward_batch(
                ctranslate2.StorageView.from_array(ids), lengths=ctranslate2.StorageView.from_array(lengths)
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"CTranslate2 failed on a batch of {len(sequences)} sequences: {error}") from error

    def _check(self, vocabulary: int) -> Verdict:
        """Check whether sequences up to a width may be mixed with these weights on this machine."""
        # Every number of the last layer is compared, and not tokens that only a large difference changes: in almost any
        # sequence another order of summing shows. On one Xeon with AVX-512 the check passes for heads of 64 numbers, as
        # BERT's are, and fails for heads of 32, which change at a width of 112.
        widest, cost = min(WIDEST, self._max_tokens), self.capacity.batch_cost
        # Batches of items that are all at hand are twice as large.
        batches = even_batches(widest=widest, vocabulary=vocabulary, costs=(cost, cost, 2 * cost))
        return check_mixing(self._outputs, batches, (None,), threads=self.capacity.parallel_batches)

    def _outputs(self, sequences: Sequence[Sequence[int]], _: None) -> list[bytes]:
        """Return the bits of all that is computed of each sequence, which the self-check compares."""
        output = self._forward(sequences, any_width=True)
        pooled, hidden = _floats(output.pooler_output), _floats(output.last_hidden_state)
        return [
            row.tobytes() + states[: len(sequence)].tobytes()
            for row, states, sequence in zip(pooled, hidden, sequences, strict=True)
        ]

    def close(self) -> None:
        """Free the model."""
        self._encoders.clear()


def _floats(view: "ctranslate2.StorageView") -> Floats:
    return numpy.array(view if view.device == "cpu" else view.to_device(ctranslate2.Device.cpu))
