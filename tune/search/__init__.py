"""The description of a search: its space, its limits, its settings."""
