"""Load tests of servers and their figures."""
