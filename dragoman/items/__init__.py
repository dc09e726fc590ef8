"""An item on its way: the body it came in, its size, the batches it fits into, and its outcome."""
