"""Promotion and rollback of versions, one at a time."""
