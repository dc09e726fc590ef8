"""A change of the model under a running server."""
