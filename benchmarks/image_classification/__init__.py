"""Benchmarks of image classification alone."""
