"""Classification of images: one label for each."""
