"""Batches of the items of many requests."""
