"""Random changes of training images that keep their labels: mirrored, shifted, cut out and enlarged, partly erased.

Whole batches of uint8 pixels [batch, height, width, 3] are changed at once, on whatever device they are, with random
numbers of torch's global generator, which the loop seeds for every step.
"""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from train.tasks.image_classification.settings import AugmentSettings

# The sides of a cutout are to each other as 3 to 4 at most, as usual (Szegedy et al. 2015).
LARGEST_ASPECT = 4 / 3


def augment(pixels: torch.Tensor, settings: "AugmentSettings", fill: torch.Tensor) -> torch.Tensor:
    """Change a batch as the settings say; what is erased gets the colour ``fill``, three numbers of uint8."""
    if settings.scale < 1:
        pixels = _scaled(pixels, settings.scale)
    if settings.mirror or settings.shift:
        pixels = _moved(pixels, mirror=settings.mirror, shift=settings.shift)
    return _erased(pixels, settings.erase, fill) if settings.erase else pixels


def _moved(pixels: torch.Tensor, *, mirror: bool, shift: int) -> torch.Tensor:
    """Mirror half of the images, and shift each by up to ``shift`` pixels; what comes in is reflected at the edge."""
    # Both are another order of rows and columns, so that every pixel is copied once.
    batch, height, width, _ = pixels.shape
    rows, columns = (_order(side, batch, shift, pixels.device) for side in (height, width))
    if mirror:
        mirrored = torch.rand(batch, 1, device=pixels.device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    places = (torch.arange(batch, device=pixels.device).view(-1, 1) * height + rows).unsqueeze(2) * width
    flat = (places + columns.unsqueeze(1)).view(-1)
    return pixels.reshape(-1, 3).index_select(0, flat).view(pixels.shape)


def _order(side: int, batch: int, shift: int, device: torch.device) -> torch.Tensor:
    """Give the places along a side of each image in their new order."""
    places = torch.arange(side, device=device).expand(batch, side)
    if shift:
        places = places + torch.randint(-shift, shift + 1, (batch, 1), device=device)
    # Reflected at both edges, without the edge itself.
    last = side - 1
    return last - (last - places.abs()).abs()


def _scaled(pixels: torch.Tensor, least: float) -> torch.Tensor:
    """Cut out at least this share of the area of each image, anywhere, and enlarge it to the whole, bilinearly."""
    # A new row is a mean of two rows of the cutout, and a column likewise: products with a small matrix for each image.
    batch, height, width, _ = pixels.shape
    area, stretch, *begins = torch.rand(4, batch, 1, device=pixels.device).unbind()
    root, aspect = (least + (1 - least) * area).sqrt(), LARGEST_ASPECT ** (stretch - 0.5)
    rows, columns = _means(height, root * aspect, begins[0]), _means(width, root / aspect, begins[1])
    enlarged = rows.bmm(pixels.reshape(batch, height, -1).float()).view(pixels.shape)
    enlarged = columns.bmm(enlarged.transpose(1, 2).reshape(batch, width, -1)).view(batch, width, height, 3)
    return enlarged.round_().to(torch.uint8).transpose(1, 2)


def _means(side: int, share: torch.Tensor, begin: torch.Tensor) -> torch.Tensor:
    """Give for each image a matrix whose row has the weights of the places that a new place is the mean of."""
    places = torch.arange(side, device=share.device)
    share = share.clamp(max=1)
    found = begin * (1 - share) * side + (places + 0.5) * share - 0.5
    return (1 - (found.clamp(0, side - 1).unsqueeze(2) - places).abs()).clamp(min=0)


def _erased(pixels: torch.Tensor, size: int, fill: torch.Tensor) -> torch.Tensor:
    """Paint over a square of each image, whose middle may lie anywhere in it (DeVries and Taylor 2017)."""
    batch, height, width, _ = pixels.shape
    # True in the rows, and in the columns, of a square.
    rows, columns = (_stripe(side, batch, size, pixels.device) for side in (height, width))
    return torch.where((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(3), fill, pixels)


def _stripe(side: int, batch: int, size: int, device: torch.device) -> torch.Tensor:
    begins = torch.randint(side, (batch, 1), device=device) - size // 2
    places = torch.arange(side, device=device)
    return (places >= begins) & (places < begins + size)
