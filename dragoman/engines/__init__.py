"""Engines compute what a task has prepared."""
