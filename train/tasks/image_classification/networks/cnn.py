"""A small convolutional network for CPUs, whose first stage sees every pixel.

::

    whitening 2x2 (frozen) - activation - group - group - group - largest value of each map - linear head
    a group: convolution 3x3 - maximum of 2x2 - batch norm - activation - convolution 3x3 - batch norm - activation

The shape, and the first convolution that takes the correlation out of neighbouring pixels before anything is learned,
are Keller Jordan's (airbench, arXiv 2404.00498), who trains a wider one on a GPU within seconds.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dragoman.tasks.image_classification.options import Preprocessing
from train.tasks.image_classification.networks.classifier import PreparedNetwork
from train.tasks.image_classification.networks.settings import CnnModel

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
PATCH = 2
# Each colour of each pixel of a patch.
PATCH_VALUES = 3 * PATCH * PATCH
# Three halvings of what the first convolution leaves of it: one value for each map.
LEAST_SIDE = 16
# Keeps what hardly varies, which is noise, from being blown up; of values whose variance is about one.
LEAST_VARIANCE = 5e-4
# The largest of many values is large; divided by this, logits begin near nought.
HEAD_SCALE = 1 / 9


class Group(nn.Sequential):
    """Two convolutions, with the halving of the picture behind the first."""

    def __init__(self, inputs: int, width: int, activation: type[nn.Module]) -> None:
        super().__init__(
            nn.Conv2d(inputs, width, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            activation(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            activation(),
        )


class Cnn(nn.Module):
    """The network: normalised pixels [batch, 3, height, width] to logits [batch, classes]."""

    def __init__(self, widths: Sequence[int], num_classes: int, activation: str = "gelu") -> None:
        super().__init__()
        kind = ACTIVATIONS[activation]
        self.whitening = nn.Conv2d(3, 2 * PATCH_VALUES, PATCH)
        self.whitening.weight.requires_grad_(False)
        self.activation = kind()
        inputs = [2 * PATCH_VALUES, *widths[:-1]]
        self.groups = nn.Sequential(*(Group(left, width, kind) for left, width in zip(inputs, widths, strict=True)))
        self.head = nn.Linear(widths[-1], num_classes, bias=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the logits."""
        maps = self.groups(self.activation(self._whitened(pixels)))
        logits: torch.Tensor = self.head(maps.amax(dim=(2, 3))) * HEAD_SCALE
        return logits

    def _whitened(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the first convolution, in full precision also where the rest is trained in half.

        Its factors are large where neighbours hardly differ: of grey pictures, half precision makes noise of what has
        no variance at all, and a network that has learned from such noise misses it when it is served.
        """
        kind = pixels.device.type
        # Not around every forward: the exporter would write the block into the graph.
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self.whitening(pixels.float())  # type: ignore[no-any-return]
        return self.whitening(pixels)  # type: ignore[no-any-return]

    def reset_classifier(self, num_classes: int) -> None:
        """Exchange the head for a random one, as a network of timm does."""
        self.head = nn.Linear(self.head.in_features, num_classes, bias=False)


def make_cnn(widths: Sequence[int], num_classes: int, activation: str, *, whitening: torch.Tensor | None) -> Cnn:
    """Build the network with random weights that begin near the identity, from torch's global generator.

    ``whitening`` are the weights of the first convolution; None leaves random ones, for weights that are loaded.
    """
    network = Cnn(widths, num_classes, activation)
    for module in network.groups.modules():
        if isinstance(module, nn.Conv2d):
            # As many maps as there are to pass on begin as copies; what is wider learns from random weights.
            nn.init.dirac_(module.weight[: module.in_channels])
    with torch.no_grad():
        assert network.whitening.bias is not None
        network.whitening.bias.zero_()
        if whitening is not None:
            network.whitening.weight.copy_(whitening)
    return network


def scratch_cnn(
    settings: CnnModel, labels: Sequence[str], preprocessing: Preprocessing, sample: npt.NDArray[np.uint8]
) -> PreparedNetwork:
    """Build the network for a corpus, of which ``sample`` are some images, with its configuration."""
    filters = whitening_weights(sample, preprocessing.mean, preprocessing.std)
    return PreparedNetwork(
        network=make_cnn(settings.widths, len(labels), settings.activation, whitening=filters),
        labels=tuple(labels),
        preprocessing=preprocessing,
        kind="cnn",
        architecture="cnn",
        head="head",
        model_args={"widths": list(settings.widths), "activation": settings.activation},
    )


def whitening_weights(pixels: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Compute filters that turn patches of these pictures into values without correlation, each in both signs.

    They are the eigenvectors of the patches' covariance by the roots of its eigenvalues; ``pixels`` is
    [pictures, height, width, 3].
    """
    values = (pixels / 255 - np.array(mean)) / np.array(std)
    patches = np.lib.stride_tricks.sliding_window_view(values, (PATCH, PATCH), axis=(1, 2)).reshape(-1, PATCH_VALUES)
    variances, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    # The sign of an eigenvector is the library's choice; its largest component decides it here.
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(PATCH_VALUES)]
    filters = (vectors * np.sign(largest) / np.sqrt(variances + LEAST_VARIANCE)).T.reshape(-1, 3, PATCH, PATCH)
    return torch.from_numpy(np.concatenate([filters, -filters]).astype(np.float32))
