"""The arithmetic of the serving benchmark: percentiles, windows, medians, ratios, targets."""

from typing import Any

import pytest

from benchmarks.serving.comparison import BENTO, CORE, MAR, ServingTarget, medians, ratios
from benchmarks.serving.load_figures import load_figures, percentile
from benchmarks.serving.load_generator import Answer, StreamAnswers
from benchmarks.serving.workloads import documents
from benchmarks.translation.targets import targets


def _answer(due: float, answered: float, status: int = 200) -> Answer:
    return Answer(index=0, due=due, answered=answered, status=status, text="ein Hund")


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (list(range(1, 101)), 50, 50),
        (list(range(1, 101)), 99, 99),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0], 99, 2.0),
        ([7.0], 50, 7.0),
        ([], 50, None),
    ],
)
def test_a_percentile_is_a_value_that_occurred(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected


def test_a_closed_loop_counts_what_is_answered_in_its_window() -> None:
    answers = (_answer(0.5, 0.9), _answer(0.9, 1.5), _answer(1.5, 2.5), _answer(2.5, 3.5))

    figures = load_figures(
        StreamAnswers(name="s", is_open=False, begin=1.0, end=3.0, answers=answers),
        lambda answer: len(answer.text.split()),
    )

    assert (figures.requests_per_s, figures.target_tokens_per_s, figures.answers) == (1.0, 2.0, 2)
    assert figures.target_tokens_per_answer == 2.0
    assert (figures.p50_ms, figures.p99_ms) == (600.0, 1000.0)


def test_an_open_loop_counts_the_latency_of_what_was_due_in_its_window_even_if_answered_later() -> None:
    answers = (_answer(0.5, 0.9), _answer(1.5, 1.6), _answer(2.9, 9.9), _answer(2.0, 2.1, status=503))

    figures = load_figures(StreamAnswers(name="s", is_open=True, begin=1.0, end=3.0, answers=answers), lambda answer: 1)

    assert (figures.p50_ms, figures.p99_ms) == (100.0, 7000.0)
    assert (figures.answers, figures.errors, figures.error) == (3, 1, "503: ein Hund")
    assert figures.requests_per_s == 0.5


def test_medians_are_taken_at_each_place_and_over_the_rounds_that_have_it() -> None:
    rounds: list[dict[str, Any]] = [
        {"start_s": 3.0, "closed": {"1": {"p50_ms": 10.0, "error": None}}},
        {"start_s": 5.0, "closed": {"1": {"p50_ms": None, "error": "503: overloaded"}}},
        {"start_s": 4.0, "closed": {"1": {"p50_ms": 20.0, "error": None}}},
    ]

    assert medians(rounds) == {"start_s": 4.0, "closed": {"1": {"p50_ms": 15.0, "error": "503: overloaded"}}}


def _server(per_s: float, p50_ms: float, **more: Any) -> dict[str, Any]:
    figures = {"requests_per_s": per_s, "p50_ms": p50_ms}
    return {"closed": {"1": figures, "32": {**figures, "requests_per_s": 4 * per_s}}, **more}


def test_ratios_say_how_many_times_faster_ours_is() -> None:
    servers = {BENTO: _server(20.0, 50.0), "BentoML, generate": _server(4.0, 200.0)}

    assert ratios(servers, BENTO) == {
        "BentoML, generate": {"1_clients": 5.0, "32_clients": 5.0, "p50_alone": 4.0},
    }


def test_every_target_is_judged_or_said_to_be_unmeasured() -> None:
    servers = {
        BENTO: _server(20.0, 50.0, bleu=30.0, start_s=4.0, memory={"largest_mb": 700.0}),
        MAR: _server(15.0, 60.0, bleu=30.0),
        "BentoML, generate": _server(4.0, 200.0, bleu=30.2),
    }
    limits = {CORE: {"requests_per_s": 90.0, "p50_ms": 40.0}}

    found = {target.name: target for target in targets(servers, limits)}

    def verdict(beginning: str) -> tuple[float | None, bool | None]:
        (target,) = [target for name, target in found.items() if name.startswith(beginning)]
        return target.value, target.met

    assert verdict(f"{BENTO}: sentences/s over BentoML") == (5.0, True)
    assert verdict(f"{MAR}: sentences/s over BentoML") == (3.75, False)
    assert verdict(f"{BENTO}: times sooner than BentoML") == (4.0, True)
    assert verdict(f"{BENTO}: BLEU below BentoML") == (0.2, True)
    assert verdict(f"{BENTO}: p50 over {CORE}") == (1.25, False)
    assert verdict(f"{BENTO}: peak memory") == (700.0, False)
    assert verdict(f"{BENTO}: start") == (4.0, True)
    assert verdict(f"{BENTO}: sentences/s over TorchServe") == (None, None)
    assert verdict(f"{BENTO}: p99 of short inputs") == (None, None)


def test_a_bound_itself_is_met_from_either_side() -> None:
    assert ServingTarget(name="t", value=5.0, bound=5.0, at_least=True).met
    assert ServingTarget(name="t", value=5.0, bound=5.0, at_least=False).met


def test_documents_are_whole_sentences_of_at_least_so_many_words() -> None:
    assert documents(["a b", "c d e", "f", "g h i j", "k"], words=4) == ("a b c d e", "f g h i j")
