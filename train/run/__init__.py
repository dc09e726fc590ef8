"""The directory of a run, and the record of it."""
