"""Hits: the share of right labels, in points."""

import numpy

from scoring.base import Metric


class Hits(Metric):
    """The share of right labels."""

    name = "hits"

    def counts(self, outputs, references):
        """Count an item, and whether it is right."""
        return numpy.array([[output == reference, 1.0] for output, reference in zip(outputs, references, strict=True)])

    def score(self, sums):
        """Divide right ones by all."""
        return 100.0 * float(sums[0] / sums[1])
