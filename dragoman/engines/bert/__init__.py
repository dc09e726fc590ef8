"""BERT's sequence classification: what its engines share, and its forward pass in PyTorch."""
