"""Engines, which compute the prepared items of tasks."""
