"""T5 decoding of our own: static caches, one step for all slots, and slots refilled while the others go on.

weights -> model (encoder, one decoder step) -> slots (their memory) -> greedy, beam (what a step chooses)
-> lane (items take slots) -> scheduler (the thread that drives the lanes).
"""
