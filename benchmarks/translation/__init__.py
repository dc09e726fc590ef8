"""Measurements of translation models, their engines, and what else could serve the same weights."""
