"""Commands and servers as child processes."""
