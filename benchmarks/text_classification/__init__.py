"""Benchmarks of text classification alone."""
