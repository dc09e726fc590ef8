"""TorchServe handlers; each file travels alone into its archive and is imported there by its own name."""
