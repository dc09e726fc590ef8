"""Translation at run time."""
