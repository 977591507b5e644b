"""What a user sees: one line and exit code 2; anything else is a fault of ours and stays loud."""

import errno

import pytest

from auggen.core.errors import UserError, run_stage


def failing(error: Exception) -> None:
    def app() -> None:
        raise error

    run_stage(app)


def test_user_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        failing(UserError("params.yaml: `mix_ratio` is 'x'"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: params.yaml: `mix_ratio` is 'x'\n"


def test_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        failing(OSError(errno.ENOSPC, "No space left on device", "data/pool"))
    assert caught.value.code == 2
    assert "no space left" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EIO, "x")])
def test_other_errors_keep_their_trace(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing(error)


def test_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage(lambda: None)
    assert capsys.readouterr() == ("", "")
