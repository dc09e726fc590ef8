import pytest

from train.schedule import Budget, learning_rate


def test_a_budget_of_steps_ignores_the_clock_for_its_progress_but_not_for_its_end() -> None:
    budget = Budget(max_steps=100, max_units=None, max_seconds=60)
    assert budget.progress(step=50, units=10**9, elapsed_seconds=59) == 0.5
    assert not budget.spent(step=50, units=10**9, elapsed_seconds=59)
    assert budget.spent(step=50, units=0, elapsed_seconds=60)
    assert budget.spent(step=100, units=0, elapsed_seconds=0)


def test_units_count_as_steps_do():
    budget = Budget(max_steps=None, max_units=1000, max_seconds=60)
    assert budget.progress(step=10**9, units=250, elapsed_seconds=59) == 0.25
    assert budget.spent(step=1, units=1000, elapsed_seconds=0)
    both = Budget(max_steps=100, max_units=1000, max_seconds=None)
    assert both.progress(step=50, units=900, elapsed_seconds=0) == 0.9


def test_a_budget_of_time_progresses_with_the_clock() -> None:
    budget = Budget(max_steps=None, max_units=None, max_seconds=60)
    assert budget.progress(step=10_000, units=0, elapsed_seconds=15) == 0.25
    assert budget.progress(step=10_000, units=0, elapsed_seconds=90) == 1
    assert not budget.spent(step=10**9, units=10**9, elapsed_seconds=59)


@pytest.mark.parametrize("schedule", ["linear", "inverse_sqrt"])
def test_the_rate_rises_to_its_peak_and_then_only_falls(schedule: str) -> None:
    rates = [
        learning_rate(schedule, peak=1.0, warmup_steps=10, step=step, progress=step / 100)  # type: ignore[arg-type]
        for step in range(100)
    ]
    assert rates[0] == pytest.approx(0.1)
    assert rates[:9] == sorted(rates[:9])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) <= 1.0


def test_linear_ends_at_nothing_and_inverse_square_root_at_a_quarter_after_sixteen_warmups() -> None:
    assert learning_rate("linear", peak=1.0, warmup_steps=0, step=5, progress=1.0) == 0
    assert learning_rate("inverse_sqrt", peak=1.0, warmup_steps=10, step=159, progress=0.9) == pytest.approx(0.25)


def test_a_budget_of_no_steps_is_spent_before_the_first() -> None:
    budget = Budget(max_steps=0, max_units=None, max_seconds=None)
    assert budget.spent(step=0, units=0, elapsed_seconds=0)
    assert budget.progress(step=0, units=0, elapsed_seconds=0) == 1
