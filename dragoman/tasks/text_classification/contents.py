"""Allow-lists of a text classifier's bundle: a BERT's configuration, its vocabulary, its conversion and its head."""

FILES = (
    r"model/(config|tokenizer|tokenizer_config|special_tokens_map)\.json|model/vocab\.txt"
    r"|engines/ct2-[a-z0-9]+/(model\.bin|config\.json|vocabulary\.json|head\.safetensors)"
)
BERT_KEYS = """
    _name_or_path add_cross_attention architectures attention_probs_dropout_prob bos_token_id chunk_size_feed_forward
    classifier_dropout dtype eos_token_id finetuning_task gradient_checkpointing hidden_act hidden_dropout_prob
    hidden_size id2label initializer_range intermediate_size is_decoder is_encoder_decoder label2id layer_norm_eps
    max_position_embeddings model_type num_attention_heads num_hidden_layers output_attentions output_hidden_states
    pad_token_id position_embedding_type problem_type return_dict tie_word_embeddings torch_dtype transformers_version
    type_vocab_size use_cache vocab_size
    """
MODEL_CONFIG_KEYS = {"bert": frozenset(BERT_KEYS.split())}
