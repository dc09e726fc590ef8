"""The embedded default corpus: English-German sentence pairs of a traveller's phrasebook, generated from a grammar.

``python -m train.phrasebook --size 200`` prints some. It stands in for a downloaded corpus, so that training can be
tried, and tested, where there is no network.
"""

from train.phrasebook.corpus import PhrasebookSplits, generate

__all__ = ["PhrasebookSplits", "generate"]
