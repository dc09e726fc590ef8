"""Versions of registered models: registering, fetching, following them."""
