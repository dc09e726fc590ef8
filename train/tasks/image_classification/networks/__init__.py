"""The networks of a classifier of images: their settings, our small one for CPUs, and those of timm."""
