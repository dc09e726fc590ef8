from typing import Any

import pytest
import torch

from train.tasks.image_classification.augment import augment
from train.tasks.image_classification.settings import AugmentSettings

FILL = torch.tensor([7, 8, 9], dtype=torch.uint8)
OFF: dict[str, Any] = {"mirror": False, "shift": 0, "scale": 1.0, "erase": 0}


@pytest.fixture
def pixels() -> torch.Tensor:
    """Give images no two pixels of which are the same in all colours."""
    numbers = torch.arange(20 * 12 * 10)
    colours = torch.stack((numbers % 251, numbers // 251 + 20, numbers % 7 + 100), dim=1)
    return colours.view(20, 12, 10, 3).to(torch.uint8)


def changed(pixels: torch.Tensor, *, seed: int = 1, **settings: Any) -> torch.Tensor:
    torch.manual_seed(seed)
    found = augment(pixels, AugmentSettings(**{**OFF, **settings}), FILL)
    assert found.dtype == torch.uint8
    assert found.shape == pixels.shape
    return found


def test_everything_off_leaves_pixels_as_they_are(pixels: torch.Tensor) -> None:
    assert torch.equal(changed(pixels), pixels)


def test_about_half_of_the_images_are_mirrored_left_to_right(pixels: torch.Tensor) -> None:
    found = changed(pixels, mirror=True)
    mirrored = sum(torch.equal(now, before.flip(1)) for now, before in zip(found, pixels, strict=True))
    same = sum(torch.equal(now, before) for now, before in zip(found, pixels, strict=True))
    assert mirrored + same == len(pixels)
    assert 4 <= mirrored <= 16


def test_a_shift_goes_up_to_its_pixels_each_way_and_reflects_what_comes_in(pixels: torch.Tensor) -> None:
    found = changed(pixels, shift=2)
    padded = torch.nn.functional.pad(pixels.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect").byte()
    shifts = set()
    for row, now in enumerate(found.permute(0, 3, 1, 2)):
        places = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(now, padded[row, :, down : down + 12, right : right + 10])
        ]
        assert len(places) == 1
        shifts.add(places[0])
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(5))


def test_scaling_enlarges_a_part_of_the_image() -> None:
    slope = torch.arange(0, 240, 10).view(1, 1, 24, 1).expand(64, 24, 24, 3).to(torch.uint8)
    found = changed(slope, scale=0.25).float()
    # Along a row the brightness still rises, from further in and less steeply, down to about half.
    steps = (found[:, :, -3] - found[:, :, 2]).mean(dim=(1, 2)) / 19
    assert 4.0 < steps.min() < 6.5
    assert 9.0 < steps.max() < 10.5
    assert (found.diff(dim=2) >= 0).all()
    assert found.max() <= 230
    # Nothing varies from row to row.
    assert (found - found[:, :1]).abs().max() <= 1


def test_a_square_is_erased_in_the_colour_of_the_mean(pixels: torch.Tensor) -> None:
    found = changed(pixels, erase=4)
    erased = (found == FILL).all(dim=3)
    assert torch.equal(found[~erased], pixels[~erased])
    counts = erased.sum(dim=(1, 2))
    # At the edge a part of it is outside.
    assert counts.max() == 16
    assert counts.min() >= 4
    for image in erased:
        rows, columns = image.any(dim=1), image.any(dim=0)
        assert torch.equal(image, rows[:, None] & columns)


def test_the_same_seed_changes_images_in_the_same_way_and_another_one_does_not(pixels: torch.Tensor) -> None:
    settings: dict[str, Any] = {"mirror": True, "shift": 3, "scale": 0.5, "erase": 3}
    assert torch.equal(changed(pixels, **settings), changed(pixels, **settings))
    assert not torch.equal(changed(pixels, **settings), changed(pixels, seed=2, **settings))
