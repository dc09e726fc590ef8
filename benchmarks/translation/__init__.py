"""Measurements of translation models, their engines, and their servers beside others."""
