"""Alternatives over the same weights: other servers over Hugging Face, and bare CTranslate2."""
