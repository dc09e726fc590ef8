"""Measurements with their provenance; each module is a command, and its results lie in ``benchmarks/results``."""
