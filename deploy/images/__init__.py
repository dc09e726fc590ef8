"""Container images: what they are built from, building them, and running them as a cluster would."""
