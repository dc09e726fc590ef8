from hypothesis import given
from hypothesis import strategies as st

from dragoman.items.batches import token_batches

LENGTHS = st.lists(st.integers(min_value=1, max_value=600), max_size=80)


@given(lengths=LENGTHS, budget=st.integers(min_value=1, max_value=1200))
def test_every_sequence_is_in_exactly_one_batch_and_only_a_lone_one_may_exceed_the_budget(lengths, budget):
    batches = token_batches(lengths, batch_tokens=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[index] for index in batch) * len(batch)
        assert padded <= budget or len(batch) == 1


def test_sequences_of_similar_length_share_a_batch():
    assert token_batches([3, 50, 3, 49], batch_tokens=100) == [[1, 3], [0, 2]]


def test_a_sequence_of_many_rows_counts_as_many_times():
    assert token_batches([10, 10, 10, 10], rows=4, batch_tokens=100) == [[0, 1], [2, 3]]


def test_no_sequences_make_no_batches():
    assert token_batches([], batch_tokens=100) == []
