"""Scores of outputs: metrics as counts per item, guards, the bootstrap, and held-out sets on disk."""
