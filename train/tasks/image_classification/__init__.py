"""The training half of image classification."""
