"""Measurements; each module is a command, and ``benchmarks.record`` keeps results with their provenance."""
