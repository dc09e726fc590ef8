"""Text as models and tasks need it: tokens, sentences, lines."""
