"""Container images: their ingredients, their builds, and test runs under the conditions of a cluster."""
