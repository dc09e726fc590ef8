"""Registry events: when the champion moves, its artifacts are built anew, tested, and published."""
