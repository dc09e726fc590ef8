"""Sentence patterns, by theme."""
