"""The statistical gate: measures, guards and the verdict."""
