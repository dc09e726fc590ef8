"""The embedded default corpus: English-German sentence pairs of a traveller's phrasebook, generated from a grammar.

``python -m train.tasks.translation.phrasebook --size 200`` prints some. It stands in for a downloaded corpus, so that
training can be tried, and tested, where there is no network.
"""

from train.tasks.translation.phrasebook.corpus import PhrasebookSplits, generate

__all__ = ["PhrasebookSplits", "generate"]
