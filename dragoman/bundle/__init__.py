"""A bundle on disk: its manifest, its files, its signature and its model card."""
