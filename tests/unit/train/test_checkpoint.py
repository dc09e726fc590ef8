import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dragoman.errors import DataError
from train.checkpoint import MODEL, Checkpoints, TrainingState


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))


@pytest.fixture
def optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    step(model, optimizer)
    return optimizer


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.ones(3, 4)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def state(step: int, **values: object) -> TrainingState:
    return dataclasses.replace(TrainingState(config_digest="d"), step=step, **values)  # type: ignore[arg-type]


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_a_restored_model_and_optimizer_go_on_bit_by_bit(
    tmp_path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(7, units=3, best_score=0.1 + 0.2, logged={"loss": [1 / 3]}), model, optimizer)
    step(model, optimizer)
    expected = weights(model)

    other = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    found = checkpoints.last()
    assert found == state(7, units=3, best_score=0.1 + 0.2, logged={"loss": [1 / 3]})
    checkpoints.restore(7, other, fresh)
    step(other, fresh)
    assert all(torch.equal(left, right) for left, right in zip(weights(other), expected, strict=True))


def test_only_the_last_two_and_the_best_stay(
    tmp_path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    for number in range(1, 6):
        checkpoints.save(state(number, best_step=2 if number >= 2 else 1), model, optimizer)
    assert checkpoints.steps() == [2, 4, 5]


def test_a_damaged_checkpoint_is_passed_over_and_cleared_away(
    tmp_path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for number in (1, 2):
        checkpoints.save(state(number), model, optimizer)
    (checkpoints.path(2) / MODEL).write_bytes(b"half")
    (tmp_path / ".step-00000003.abc").mkdir()
    found = checkpoints.last()
    assert found is not None
    assert found.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    (checkpoints.path(1) / MODEL).unlink()
    with pytest.raises(DataError, match="every checkpoint"):
        checkpoints.last()


def test_without_checkpoints_there_is_no_last_one(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep=2).last() is None


def test_a_checkpoint_holds_no_pickle(tmp_path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    Checkpoints(tmp_path, keep=2).save(state(1), model, optimizer)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".safetensors", ".json"}


def test_averaging_gives_the_mean_of_the_weights(
    tmp_path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1), model, optimizer)
    first = weights(model)
    step(model, optimizer)
    checkpoints.save(state(2), model, optimizer)
    second = weights(model)
    mean = checkpoints.average([1, 2])
    for (name, _), left, right in zip(model.named_parameters(), first, second, strict=True):
        assert torch.allclose(mean[name], (left + right) / 2)


def normalising() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))


def test_buffers_are_restored_too(tmp_path: Path) -> None:
    model, other = normalising(), normalising()
    for _ in range(5):
        model(torch.randn(8, 4) + 5)
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1), model, torch.optim.AdamW(model.parameters()))
    checkpoints.restore(1, other, torch.optim.AdamW(other.parameters()))
    expected = model.state_dict()
    assert expected["1.running_mean"].abs().min() > 0
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())


def test_averaging_takes_the_mean_of_real_numbers_and_the_last_of_counters(tmp_path: Path) -> None:
    model = normalising()
    checkpoints, optimizer = Checkpoints(tmp_path, keep=2), torch.optim.AdamW(model.parameters())
    means = []
    for number in (1, 2):
        model(torch.randn(8, 4) + 5 * number)
        checkpoints.save(state(number), model, optimizer)
        means.append(model.state_dict()["1.running_mean"].clone())
    averaged = checkpoints.average([1, 2])
    assert torch.allclose(averaged["1.running_mean"], (means[0] + means[1]) / 2)
    assert averaged["1.num_batches_tracked"] == 2
    assert averaged["1.num_batches_tracked"].dtype == torch.int64


def test_a_shared_tensor_is_saved_once_and_stays_shared(tmp_path: Path) -> None:
    def tied() -> torch.nn.Module:
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
        model[1].weight = model[0].weight
        return model

    model, other = tied(), tied()
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1), model, torch.optim.AdamW(model.parameters()))
    assert set(load_file(checkpoints.path(1) / MODEL)) == {"0.weight", "0.bias", "1.bias"}
    checkpoints.restore_model(1, other)
    assert other[1].weight is other[0].weight
    assert torch.equal(other[0].weight, model[0].weight)
