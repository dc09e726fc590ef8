"""Packages of a bundle for the two servers."""
