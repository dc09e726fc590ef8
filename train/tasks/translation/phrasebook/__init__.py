"""The embedded default corpus: English-German pairs of a traveller's phrasebook, generated from a grammar."""
