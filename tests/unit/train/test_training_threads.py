import pytest
import torch

import train.device
from train.device import make_accelerator, use_device


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("cores", "threads"), [(2, 2), (64, 4)])
def test_a_training_uses_no_more_threads_than_its_containers_limit_has_cores(monkeypatch, cores, threads):
    monkeypatch.setattr(train.device, "usable_cores", lambda: cores)
    use_device("cpu", "auto")
    assert torch.get_num_threads() == threads


def test_a_number_of_threads_that_is_given_is_kept(monkeypatch):
    monkeypatch.setattr(train.device, "usable_cores", lambda: 2)
    use_device("cpu", 3)
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    use_device("cpu", "auto")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("has_it", "bf16", "precision"),
    [
        (True, "auto", "bf16"),
        (False, "auto", "no"),
        (True, "gpu", "no"),
        (True, "off", "no"),
    ],
)
def test_a_cpu_trains_in_bfloat16_where_it_has_that_and_may(monkeypatch, has_it, bf16, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_it})
    # The precision of an earlier training of the process does not stay.
    make_accelerator("cpu", "off")
    accelerator = make_accelerator("cpu", bf16)
    assert accelerator.mixed_precision == precision
    model = accelerator.prepare(torch.nn.Linear(4, 4))
    with accelerator.autocast():
        hidden = torch.nn.functional.linear(torch.ones(1, 4), model.weight)
    assert hidden.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
