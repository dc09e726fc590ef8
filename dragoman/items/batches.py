"""Cutting many sequences into batches that waste little on padding."""

from collections.abc import Sequence


def token_batches(lengths: Sequence[int], *, rows: int = 1, batch_tokens: int) -> list[list[int]]:
    """Group the indices of sequences into batches of similar length, each at most ``batch_tokens`` with padding.

    ``lengths`` are in tokens, ``rows`` is how many the model computes for each sequence. A sequence longer than the
    budget gets a batch of its own. Longest first, so that the batch which takes most time starts first; equal lengths
    keep their order, so the result is deterministic.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        # Sorted, so the first sequence of the open batch is its longest and sets the padded width.
        width = lengths[batches[-1][0]] if batches else 0
        if batches and width * rows * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
