"""The BERT of a text classifier: its settings, its vocabulary, its weights and their conversion."""
