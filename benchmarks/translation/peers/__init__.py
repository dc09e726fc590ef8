"""What a user could put before the same weights instead: other servers, Hugging Face and bare CTranslate2."""
