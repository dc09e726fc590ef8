"""Searches hyperparameters with Optuna, on one machine or on many (``python -m tune --help``)."""
