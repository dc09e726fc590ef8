"""Engines of classifiers of images, over one ONNX graph."""
