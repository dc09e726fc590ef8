"""Runs, studies and models as MLflow keeps them."""
