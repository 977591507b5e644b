"""What a user sees: one line and exit code 2; anything else is a fault of ours and stays loud."""

import errno
import os

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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_one_line(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        failing(OSError(code, os.strerror(code), "data/pool"))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: data/pool: no room to write it ({os.strerror(code)}); free")
    assert error.count("\n") == 1


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_a_path_of_no_use_is_one_line(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        failing(OSError(code, os.strerror(code), "data/pool"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"error: data/pool: {os.strerror(code)}; correct the path or its permissions\n"
    )


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.EACCES, "x"), OSError(errno.EIO, "x")]
)
def test_other_errors_keep_their_trace(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing(error)


def test_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage(lambda: None)
    assert capsys.readouterr() == ("", "")
