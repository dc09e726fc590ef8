"""Networks of timm, with random weights or loaded ones, and with a beginning for small pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dragoman.errors import ConfigError, DataError
from dragoman.tasks.image_classification.options import Preprocessing
from train.tasks.image_classification.networks.classifier import PreparedNetwork
from train.tasks.image_classification.networks.cnn import make_cnn
from train.tasks.image_classification.networks.settings import Stem
from train.tasks.image_classification.networks.weights import STEM, Source, first_name, import_timm

# Parts of timm's configuration of a network that it needs to load one; the rest says where weights were published.
OF_ARCHITECTURE = ("classifier", "first_conv", "fixed_input_size")
# Where timm would look for weights of its own, and what it knows of their classes.
OF_WEIGHTS = (
    "url", "hf_hub_id", "hf_hub_filename", "state_dict", "source", "label_offset", "label_names", "label_descriptions",
)  # fmt: skip
# The pool behind the first convolution, as timm's families call it.
POOLS = ("maxpool", "features.pool0")
SIDES = ((3, 3), (5, 5), (7, 7))


def make_network(
    source: Source,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    *,
    stem: Stem | None = None,
    dropout: float = 0.0,
    has_head: bool,
) -> PreparedNetwork:
    """Make a network with its weights; a head that they have not is drawn from torch's global generator.

    Raises ConfigError for a size or a stem that the architecture does not take, DataError for weights that do not fit.
    """
    args, config = dict(source.model_args), source.pretrained_cfg
    # Weights are loaded with all of their own, so that nothing is random unnoticed; then the head may be exchanged.
    outputs = source.num_classes if source.weights else len(labels)
    if source.kind == "cnn":
        network: Any = make_cnn(args["widths"], outputs, args["activation"], whitening=None)
        _load(network, source)
    else:
        size = [preprocessing.height, preprocessing.width]
        if config.get("fixed_input_size") and list(config["input_size"][1:]) != size:
            args["img_size"] = size
        network = _create(source, args, outputs, stem or source.stem, dropout=dropout)
    if source.weights and not has_head:
        network.reset_classifier(len(labels))
    _check_size(network, source.architecture, preprocessing)
    return PreparedNetwork(
        network=network,
        labels=tuple(labels),
        preprocessing=preprocessing,
        kind=source.kind,
        architecture=source.architecture,
        head=first_name(config.get("classifier")) or "head",
        model_args={**args, STEM: "small"} if (stem or source.stem) == "small" else args,
        pretrained_cfg={key: config[key] for key in OF_ARCHITECTURE if config.get(key) is not None},
        has_head=has_head,
        base_model=source.base_model,
    )


def make_stem_small(network: Any, architecture: str, first_conv: str) -> None:
    """Let a network begin at full resolution: a first convolution of 3x3 without stride, and no pool behind it.

    Weights of a larger one keep their middle. Raises ConfigError for a network that begins in another way.
    """
    modules = dict(network.named_modules())
    conv = modules.get(first_conv)
    if not isinstance(conv, nn.Conv2d) or conv.kernel_size not in SIDES or conv.stride != (2, 2):
        begins = "another layer"
        if isinstance(conv, nn.Conv2d):
            begins = f"one of {'x'.join(map(str, conv.kernel_size))} and stride {conv.stride[0]}"
        raise ConfigError(
            f"model.stem=small is for networks that begin with a convolution of 3x3 to 7x7 and stride 2; "
            f"{architecture} begins with {begins}: set model.stem=imagenet, with images.height large enough for it"
        )
    cut = (conv.kernel_size[0] - 3) // 2
    small = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
    with torch.no_grad():
        small.weight.copy_(conv.weight[:, :, cut : cut + 3, cut : cut + 3])
        if small.bias is not None and conv.bias is not None:
            small.bias.copy_(conv.bias)
    network.set_submodule(first_conv, small)
    for pool in POOLS:
        if pool in modules:
            network.set_submodule(pool, nn.Identity())


def _create(source: Source, args: Mapping[str, Any], outputs: int, stem: Stem, *, dropout: float) -> Any:
    """Create a network by timm, which converts weights in older forms, and those for another size of pictures."""
    loads = source.weights is not None and source.stem == "imagenet"
    config = {key: value for key, value in source.pretrained_cfg.items() if key not in OF_WEIGHTS}
    config |= {"num_classes": outputs, "custom_load": False, **({"file": str(source.weights)} if loads else {})}
    try:
        network = import_timm().create_model(
            source.architecture,
            pretrained=loads,
            pretrained_cfg=config,
            num_classes=outputs,
            drop_rate=dropout,
            **args,
        )
    except (RuntimeError, ValueError, TypeError, KeyError, AssertionError, SafetensorError, OSError) as error:
        place = f" from {source.weights}" if loads else ""
        raise DataError(f"timm cannot make {source.architecture}{place}: {_brief(error)}") from error
    if stem == "small":
        make_stem_small(network, source.architecture, first_name(config.get("first_conv")))
    if source.weights is not None and not loads:
        _load(network, source)
    return network


def _load(network: Any, source: Source) -> None:
    assert source.weights is not None
    try:
        network.load_state_dict(load_file(source.weights))
    except (RuntimeError, SafetensorError, OSError) as error:
        raise DataError(f"{source.weights} does not fit a {source.architecture}: {_brief(error)}") from error


def _check_size(network: Any, architecture: str, preprocessing: Preprocessing) -> None:
    """Raise ConfigError where the network cannot compute pictures of the size that it gets."""
    height, width = preprocessing.height, preprocessing.width
    training, _ = network.training, network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, height, width))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"{architecture} cannot see pictures of {height}x{width} pixels ({_brief(error)}); set images.height and "
            "images.width"
        ) from error
    network.train(training)


def _brief(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
