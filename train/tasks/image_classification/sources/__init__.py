"""The corpora of labelled images that a training can read."""
