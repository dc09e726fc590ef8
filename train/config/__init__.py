"""The configuration of a training: YAML and overrides in, checked settings out."""
