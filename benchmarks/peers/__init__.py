"""Servers to compare, ours among them."""
