"""The search for good settings of training: many trials, on one machine or many (``python -m tune --help``)."""
