import numpy as np
import pytest

from train.tasks.classification.calibration import PartLogits, fit_temperature, log_loss, probabilities


def drawn(temperature: float, count: int = 2000) -> tuple[PartLogits, list[int]]:
    """Draw labels from the softmax of logits, which are then made ``temperature`` times as large."""
    chooser = np.random.default_rng(3)
    logits = chooser.normal(0.0, 2.0, (count, 3))
    # The Gumbel trick: the largest of logits with this noise is a draw from their softmax.
    labels = (logits + chooser.gumbel(size=logits.shape)).argmax(axis=1)
    return PartLogits.whole(logits * temperature), labels.tolist()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_logits_too_large_or_small_is_found(temperature: float) -> None:
    windows, labels = drawn(temperature)
    assert fit_temperature(windows, labels) == pytest.approx(temperature, rel=0.1)


def test_no_other_temperature_has_a_smaller_loss() -> None:
    windows, labels = drawn(2.0, 300)
    found = fit_temperature(windows, labels)
    least = log_loss(windows, labels, found)
    assert all(least <= log_loss(windows, labels, found * factor) for factor in (0.8, 0.97, 1.03, 1.25))


def test_the_windows_of_a_text_count_by_their_weights() -> None:
    rows = np.array([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    windows = PartLogits(rows=rows, weights=np.array([0.75, 0.25, 1.0]), starts=np.array([0, 2]))
    sure, unsure = 1 / (1 + np.exp(-4.0)), 1 / (1 + np.exp(4.0))
    first, second = probabilities(windows, 1.0)
    assert first == pytest.approx([0.75 * sure + 0.25 * unsure, 0.75 * unsure + 0.25 * sure])
    assert second == pytest.approx([0.5, 0.5])


def test_texts_that_are_all_right_have_a_temperature_too() -> None:
    assert 0.0 < fit_temperature(PartLogits.whole(np.array([[9.0, 0.0]] * 5)), [0] * 5) < 1.0
