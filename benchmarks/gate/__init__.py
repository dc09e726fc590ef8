"""The gate's error rates."""
