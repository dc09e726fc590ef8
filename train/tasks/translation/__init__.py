"""Learns to translate: sentence pairs, their cleaning, T5 and its vocabulary, and the conversion that ships."""
