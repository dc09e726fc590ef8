"""The interface between tasks that classify sequences and the engines that do it, and the layer that all end with."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

from dragoman.engines.selection import Engine
from dragoman.errors import BundleError

WEIGHT, BIAS = "classifier.weight", "classifier.bias"

Floats = NDArray[numpy.float32]


class SequenceClassifier(Engine, Protocol):
    """An engine that gives logits for sequences.

    Its class is constructed with the upper limit ``max_tokens``, and the sizes ``vocabulary`` and ``labels``.
    """

    def batch_class(self, length: int) -> Hashable:
        """Return the class of a sequence of so many tokens; only sequences of equal class may share a batch.

        In a batch with others a sequence might not get, to the last bit, the answer that it gets alone.
        """
        ...

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Return a logit for each label, in order, of each sequence (ids with special tokens); threads may share it.

        The sequences are of one ``batch_class``.
        """
        ...


class Head:
    """The linear layer from a pooled output to logits.

    It is computed row by row: a product over a whole batch may add up its numbers in another order.
    """

    def __init__(self, tensors: Mapping[str, Any], *, labels: int, origin: Path) -> None:
        """Take the layer from the tensors of a file; raises BundleError where it is missing or malformed.

        Another number of ``labels`` is refused here: numpy would spread a single logit over all of them.
        """
        weight, bias = tensors.get(WEIGHT), tensors.get(BIAS)
        if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise BundleError(f"{origin} holds no linear layer {WEIGHT} and {BIAS}; export the model again")
        if len(bias) != labels:
            raise BundleError(
                f"{origin} is a layer of {len(bias)} labels, and the bundle has {labels}; export the model again"
            )
        self._weight: Floats = numpy.ascontiguousarray(weight, dtype=numpy.float32)
        self._bias: Floats = numpy.ascontiguousarray(bias, dtype=numpy.float32)

    def logits(self, pooled: Floats) -> list[tuple[float, ...]]:
        """Return the logits of each row of pooled outputs."""
        return [tuple((self._weight @ numpy.array(row) + self._bias).tolist()) for row in pooled]
