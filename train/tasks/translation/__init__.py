"""The training of translation: sentence pairs, their cleaning, T5 and its vocabulary, and the conversion that ships."""
