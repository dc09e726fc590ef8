"""Demonstrations of the whole road."""
