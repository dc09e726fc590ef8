"""A study in its database, shared by all workers."""
