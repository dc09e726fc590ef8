"""Alternatives over the same weights: other servers, Hugging Face and bare CTranslate2."""
