"""Dragoman's run-time core: one bundle, one inference core, the same answers from every server.

``dragoman.load("runs/demo/bundle")(["Where is the station?"])`` returns one result per text, in order.
"""

from dragoman.predictor import Failure, Predictor, Result, load

__all__ = ["Failure", "Predictor", "Result", "load"]
