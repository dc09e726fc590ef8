"""The figures that a server shows."""
