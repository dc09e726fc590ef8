"""Tokens, sentences and lines of text."""
