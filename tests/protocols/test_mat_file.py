"""MAT files against scipy's writer and reader; damaged ones are refused."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from auggen.core.errors import UserError
from auggen.protocols import mat_file
from auggen.protocols.mat_file import read_mat


def write(path: Path, *, compressed: bool) -> dict[str, object]:
    cells = np.empty((3, 1), dtype=object)
    cells[:, 0] = ["a.jpg", "a_longer_name_0001.jpg", "äö.jpg"]
    nested = np.empty((2, 1), dtype=object)
    nested[:, 0] = [np.array([[1.5]]), np.array([[2**40]])]
    content = {
        "names": cells,
        "ids": np.array([[1], [300], [7]], dtype=np.uint16),
        "reals": np.array([[0.1, -2.0]]),
        "nested": nested,
    }
    savemat(path, content, do_compression=compressed)
    return content


@pytest.mark.parametrize("compressed", [False, True])
def test_agrees_with_scipy(compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    write(path, compressed=compressed)
    found, expected = read_mat(path), loadmat(path)
    assert found["names"] == [str(cell[0]) for cell in expected["names"][:, 0]]
    for name in ("ids", "reals"):
        np.testing.assert_array_equal(found[name], expected[name].ravel(order="F"))
    nested = found["nested"]
    assert isinstance(nested, list)
    assert [float(cell[0]) for cell in nested] == [1.5, 2.0**40]


def test_sizes_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"x": np.zeros((1, 100_000))}, do_compression=True)
    assert path.stat().st_size < 2000
    monkeypatch.setattr(mat_file, "MAX_BYTES", 10_000)
    with pytest.raises(UserError, match=r"x\.mat: .*decompresses to more than 10000"):
        read_mat(path)
    monkeypatch.setattr(mat_file, "MAX_BYTES", 100)
    with pytest.raises(UserError, match=r"x\.mat: larger than 100 bytes"):
        read_mat(path)


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3", b"\0" * 126 + b"MI", b"\x89HDF" * 60])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mat: no readable \.mat file"):
        read_mat(path)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=120), compressed=st.booleans())
def test_random_bodies_raise_nothing_but_our_error(
    body: bytes, compressed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.mat"
    if compressed:
        body = zlib.compress(body)
        body = b"\x0f\0\0\0" + len(body).to_bytes(4, "little") + body
    path.write_bytes(b"\0" * 126 + b"IM" + body)
    try:
        read_mat(path)
    except UserError as error:
        message = str(error)
        assert "x.mat" in message


def test_mutations_raise_nothing_but_our_error(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    random, refused = np.random.default_rng(0), 0
    for compressed in (False, True):
        write(path, compressed=compressed)
        whole = path.read_bytes()
        for _ in range(400):
            damaged = bytearray(whole)
            for place in random.integers(100, len(whole), random.integers(1, 4)):
                damaged[place] = random.integers(0, 256)
            path.write_bytes(damaged)
            try:
                read_mat(path)
            except UserError:
                refused += 1
    assert refused > 100
