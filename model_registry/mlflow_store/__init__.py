"""Everything that is kept in MLflow."""
