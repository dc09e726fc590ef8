"""The commands of ``python -m model_registry``, each beside its arguments."""
