"""Word embeddings that know, before training, which tokens of the corpus stand near each other.

A few thousand texts teach a model of random weights the words of its large classes, and of the small ones too late.
What tokens have in common is in the texts without their labels: the positive pointwise mutual information of tokens
near each other, in as many dimensions as the model is wide (Levy, Goldberg and Dagan 2015, whose settings these are).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
# Tokens on each side that count as near, by the reciprocal of their distance.
NEAR = 5
# Frequencies of contexts are raised to this, or rare ones would have the largest information of all.
CONTEXT_POWER = 0.75
# Co-occurrences of more change little, and are kept in memory.
MOST_TOKENS = 10_000_000


def corpus_embeddings(texts: Sequence[Ids], *, tokens: int, width: int, deviation: float) -> npt.NDArray[np.float32]:
    """Compute a row for each token of the vocabulary, zeros where it has no neighbours; all have one deviation."""
    from sklearn.utils.extmath import randomized_svd

    found = np.zeros((tokens, width), dtype=np.float32)
    information = _information(_counts(texts, tokens))
    known = np.asarray(information.sum(axis=1)).ravel() > 0
    if known.any():
        left, singular, _ = randomized_svd(information, min(width, tokens), random_state=0)
        rows = (left * np.sqrt(singular))[known]
        found[known, : rows.shape[1]] = rows * (deviation / rows.std())
    return found


def _counts(texts: Sequence[Ids], tokens: int) -> Any:
    """Count the neighbours of every token, as a sparse matrix."""
    from scipy import sparse

    sizes = np.cumsum([len(ids) for ids in texts])
    texts = texts[: max(1, int(np.searchsorted(sizes, MOST_TOKENS)))]
    counts = sparse.csr_matrix((tokens, tokens))
    for distance in range(1, NEAR + 1):
        left = np.concatenate([ids[:-distance] for ids in texts])
        right = np.concatenate([ids[distance:] for ids in texts])
        pairs = sparse.coo_matrix((np.full(len(left), 1 / distance), (left, right)), shape=(tokens, tokens))
        counts = counts + pairs.tocsr()
    return counts + counts.T


def _information(counts: Any) -> Any:
    """Compute the positive pointwise mutual information from counts."""
    from scipy import sparse

    totals = np.asarray(counts.sum(axis=1)).ravel()
    contexts = totals**CONTEXT_POWER
    pairs = counts.tocoo()
    share = contexts[pairs.col] / contexts.sum()
    values = np.log(pairs.data / (totals[pairs.row] * share))
    kept = values > 0
    return sparse.csr_matrix((values[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape)
