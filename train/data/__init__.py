"""The corpus and the weights that a training starts from."""
