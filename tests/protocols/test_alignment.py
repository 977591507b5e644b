"""Five-point alignment against numerical least squares and a plain bilinear loop."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from auggen.core.errors import UserError
from auggen.protocols.alignment import TEMPLATE, similarity_to_template, warp_face
from auggen.protocols.external_images import fit_square


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [112, 32])
def test_the_closed_form_is_the_least_squares_similarity(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    points = TEMPLATE @ np.array([[0.8, 0.5], [-0.5, 0.8]]) * 2 + random.normal(0, 4, (5, 2)) + 30

    def residuals(x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        moved = points @ np.array([[x[0], x[1]], [-x[1], x[0]]]) + x[2:]
        return (moved - TEMPLATE * size / 112).ravel()

    best = least_squares(residuals, np.array([1.0, 0, 0, 0]), xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    found = similarity_to_template(points, size)
    np.testing.assert_allclose(
        found, [[best[0], -best[1], best[2]], [best[1], best[0], best[3]]], atol=1e-6
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_warping_agrees_with_a_loop(channels: int) -> None:
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.integers(0, 256, (channels, 40, 50), dtype=np.uint8))
    points = TEMPLATE / 4 @ np.array([[0.9, 0.2], [-0.2, 0.9]]) + 6 + random.normal(0, 0.5, (5, 2))
    found = warp_face(image, points, 28)
    matrix = similarity_to_template(points, 28)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    inside = 0
    for y in range(28):
        for x in range(28):
            u, v, _ = inverse @ [x, y, 1]
            if not (0 <= u < 49 and 0 <= v < 39):
                continue
            inside += 1
            i, j, s, t = int(v), int(u), v - int(v), u - int(u)
            corner = image[:, i : i + 2, j : j + 2].double().numpy()
            rows = corner[:, 0] * (1 - s) + corner[:, 1] * s
            value = rows[:, 0] * (1 - t) + rows[:, 1] * t
            np.testing.assert_allclose(found[:, y, x].numpy(), value, atol=1.01)
    assert inside > 300


def test_outside_is_black() -> None:
    image = torch.full((1, 30, 30), 255, dtype=torch.uint8)
    found = warp_face(image, TEMPLATE / 112 * 10, 112)
    assert found[0, 0, 0] == 255
    assert warp_face(image, TEMPLATE - 60, 112)[0, 0, 0] == 0


def test_the_template_itself_stays_as_it_is() -> None:
    image = torch.randint(0, 256, (3, 112, 112), dtype=torch.uint8)
    assert (warp_face(image, TEMPLATE, 112).int() - image.int()).abs().max() <= 1


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), 1e200)]
)
def test_points_that_are_no_face_are_refused(points: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match="five points"):
        similarity_to_template(points, 112)


def test_other_sizes_are_cut_square_and_resized() -> None:
    image = torch.arange(24, dtype=torch.uint8).reshape(1, 4, 6)
    assert torch.equal(fit_square(image, 4), image[:, :, 1:5])
    flat = torch.full((3, 50, 70), 9, dtype=torch.uint8)
    assert torch.equal(fit_square(flat, 16), torch.full((3, 16, 16), 9, dtype=torch.uint8))
