import pytest

import dragoman
from dragoman.latency import latencies_ms, p95


def test_the_95th_percentile_is_the_value_that_19_of_20_do_not_exceed():
    assert p95([float(value) for value in range(20, 0, -1)]) == 19.0
    assert p95([float(value) for value in range(1, 101)]) == 95.0
    assert p95([3.0]) == 3.0


def test_no_values_have_no_percentile():
    with pytest.raises(ValueError, match="at least one value"):
        p95([])


def test_every_answered_text_is_timed_and_a_refused_one_is_not(tiny_bundle):
    predictor = dragoman.load(tiny_bundle)
    timed = latencies_ms(predictor, ["The man sees the red car.", " ", "Our dog buys some bread."])
    predictor.close()
    assert len(timed) == 2
    assert all(0 < milliseconds < 60_000 for milliseconds in timed)
