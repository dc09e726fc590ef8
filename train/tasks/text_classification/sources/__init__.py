"""The corpora of labelled texts that a training can read."""
