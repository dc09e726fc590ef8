"""What outputs are worth: metrics as counts per item, their score, guards, the bootstrap, and held-out sets on disk."""
