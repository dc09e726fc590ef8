import os
import signal
from pathlib import Path

import pytest

from train.run.figures import draw_curves
from train.run.history import CurvePoint
from train.run.progress import TrainingProgress
from train.signals import StopRequest


def report(step: int, **figures: float) -> CurvePoint:
    named = {name.replace("__", "/"): value for name, value in figures.items()}
    return CurvePoint(step=step, units=step, elapsed_seconds=30.0, progress=0.25, figures=named, validation=step == 9)


def test_without_a_terminal_lines_tell_the_figures_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as progress:
        progress.show(report(1, train__loss=2.5, train__tokens_per_second=1234.0))
        progress.show(report(2, train__loss=2.4))
        progress.show(report(9, validation__chrf=55.5))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "step 1  25%  loss 2.500  1,234 tokens/s  1:30 left",
        "step 9  25%  loss 2.400  1,234 tokens/s  chrf 55.5  1:30 left",
    ]


def test_the_steps_before_training_are_told_once_and_their_progress_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with TrainingProgress() as progress:
        for share in (0.0, 0.1, 0.2):
            progress.working("reading", share)
        monkeypatch.setattr("train.run.progress.SECONDS_BETWEEN_LINES", 0.0)
        progress.working("reading", 0.3)
        progress.working("decoding", 0.0)
    assert capsys.readouterr().err.splitlines() == ["reading", "reading: 30%", "decoding"]


def test_the_curves_are_a_picture_that_repeats(tmp_path: Path) -> None:
    history = [
        {"step": 10, "train/loss": 3.0, "train/lr": 0.1},
        {"step": 10, "validation/loss": 2.0, "validation/chrf": 9.0, "validation/bleu": 1.0},
    ]
    for name in ("a.png", "b.png"):
        draw_curves(history, tmp_path / name, title="toy")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_asks_to_stop_once_and_then_acts_as_always(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.exit_code == code
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before
