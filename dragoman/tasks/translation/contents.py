"""Allow-lists of a translation model's bundle: a T5's configuration, its vocabulary and its conversion."""

FILES = (
    r"model/(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json"
    r"|model/spiece\.model"
    r"|engines/ct2-[a-z0-9]+/(model\.bin|config\.json|(shared|source|target)_vocabulary\.json|vmap\.txt)"
)
T5_KEYS = """
    _name_or_path architectures bos_token_id classifier_dropout d_ff d_kv d_model decoder_start_token_id
    dense_act_fn dropout_rate dtype eos_token_id feed_forward_proj initializer_factor is_decoder
    is_encoder_decoder is_gated_act layer_norm_epsilon model_type n_positions num_decoder_layers num_heads
    num_layers output_past pad_token_id relative_attention_max_distance relative_attention_num_buckets
    scale_decoder_outputs task_specific_params tie_encoder_decoder tie_word_embeddings torch_dtype
    transformers_version use_cache vocab_size
    """
MODEL_CONFIG_KEYS = {"t5": frozenset(T5_KEYS.split())}
