"""Commands that run without showing anything."""

import pytest

from deploy.run.commands import StepFailedError, run_quietly


def test_a_quiet_command_reads_its_input_and_gives_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    done = run_quietly("json.tool", "--compact", given='{"a": 1}')

    assert (done.status, done.output) == (0, '{"a":1}\n')
    assert capfd.readouterr() == ("", "")


def test_a_quiet_command_that_fails_is_told_with_the_end_of_its_messages() -> None:
    with pytest.raises(StepFailedError, match=r"python -m json.tool ended with status 1: .*Expecting value") as failed:
        run_quietly("json.tool", given="nothing")

    assert (failed.value.module, failed.value.exit_status) == ("json.tool", 1)
