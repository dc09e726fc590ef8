"""The rule that MLflow's webhooks and the receiver of their deliveries share."""

# A secret of 128 random bits cannot be guessed; fewer bytes than that are refused on both sides.
MIN_SECRET_BYTES = 16
