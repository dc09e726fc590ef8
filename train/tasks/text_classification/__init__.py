"""The training half of text classification."""
