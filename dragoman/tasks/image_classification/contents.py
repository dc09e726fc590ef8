"""Allow-lists of an image classifier's bundle: a network's configuration as timm writes it to a hub, and its graph."""

FILES = r"model/config\.json|engines/onnx/model\.onnx"
KEYS = """
    architecture global_pool label_descriptions label_names model_args model_type num_classes num_features
    pretrained_cfg
    """
# A network of timm, or our own small one.
MODEL_CONFIG_KEYS = {kind: frozenset(KEYS.split()) for kind in ("timm", "cnn")}
