"""Alternatives over the same weights: other servers over timm, and bare onnxruntime."""
