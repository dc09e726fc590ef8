"""Measurements; each command prints its figures, and ``benchmarks.record`` keeps them with their provenance."""
