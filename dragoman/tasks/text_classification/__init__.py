"""Classification of texts: one label of a fixed list for each, with a probability for every label."""
