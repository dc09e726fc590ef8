"""One corpus of requests, sent to the core and to every server, with every difference reported."""
