"""One corpus of requests, asked of the core and of every server, and every difference told."""
