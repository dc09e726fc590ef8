"""Studies that answered one question each."""
