"""The interval: against a direct loop over replicates, and how often it covers the truth."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from auggen.measures.verification import rank_k, tar_at_far
from auggen.protocols.bootstrap import (
    FARS,
    MEAN_TAR,
    arm_replicates,
    draw_seeds,
    identification_figures,
    interval,
    person_weights,
    plain_tars,
    tar_name,
    verification_figures,
)
from auggen.protocols.trials import Trials
from tests.protocols.conftest import Faces


def tables(trials: Trials) -> tuple[pd.DataFrame, pd.DataFrame]:
    assert trials.verification is not None
    assert trials.identification is not None
    return trials.verification, trials.identification


def test_figures_agree_with_a_loop_over_replicates() -> None:
    faces = Faces(8, 4, seed=0)
    verification, identification = tables(faces.trials(faces.train(), search=True))
    weights = person_weights(8, 25, seed=3)
    fast = verification_figures(verification, weights)
    fast |= identification_figures(identification, weights)
    scores = verification["score"].to_numpy(dtype=np.float64)
    same = verification["is_same"].to_numpy()
    for row, w in enumerate(weights):
        pairs = zip(verification["person_a"], verification["person_b"], same, strict=True)
        weighed = np.array([w[a] if s else w[a] * w[b] for a, b, s in pairs])
        tars = []
        for far in FARS:
            slow = tar_at_far(scores[same], scores[~same], far, weighed[same], weighed[~same]).tar
            assert fast[tar_name(far)][row] == pytest.approx(slow, abs=1e-12)
            tars.append(slow)
        assert fast[MEAN_TAR][row] == pytest.approx(np.mean(tars), abs=1e-12)
        of_probe = w[identification["person"]]
        for k in (1, 5):
            slow = rank_k(identification["rank"].to_numpy(), k, of_probe)
            assert fast[f"rank_{k}"][row] == pytest.approx(slow, abs=1e-12)


def test_equal_weights_give_the_plain_figures_exactly() -> None:
    faces = Faces(8, 4, seed=0)
    verification, _ = tables(faces.trials(faces.train(), search=True))
    equal = verification_figures(verification, np.ones((1, 8)))
    _, tars, _ = plain_tars(verification, FARS)
    assert [equal[tar_name(far)][0] for far in FARS] == tars.tolist()


def test_replicates_do_not_depend_on_how_many_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces = Faces(6, 3, seed=0)
    verification, _ = tables(faces.trials(faces.train(), search=True))
    weights = person_weights(6, 40, seed=0)
    whole = verification_figures(verification, weights)
    monkeypatch.setattr("auggen.protocols.bootstrap._ELEMENTS_PER_BLOCK", 1)
    one_by_one = verification_figures(verification, weights)
    assert all((whole[name] == one_by_one[name]).all() for name in whole)


def test_renaming_people_and_reordering_trials_changes_nothing() -> None:
    faces = Faces(8, 4, seed=1)
    verification, identification = tables(faces.trials(faces.train(), search=True))
    weights = person_weights(8, 20, seed=0)
    new = np.random.default_rng(0).permutation(8)
    renamed = np.empty_like(weights)
    renamed[:, new] = weights
    before = verification_figures(verification, weights)
    before |= identification_figures(identification, weights)
    for table in (verification, identification):
        for column in {"person", "person_a", "person_b"} & set(table.columns):
            table[column] = new[table[column]]
    after = verification_figures(verification.sample(frac=1, random_state=0), renamed)
    after |= identification_figures(identification.sample(frac=1, random_state=0), renamed)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-12)


def test_weights_are_dirichlet_and_seeds_are_drawn_arm_by_arm() -> None:
    weights = person_weights(15, 4000, seed=0)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.mean(), 1 / 15)
    assert weights.var() == pytest.approx(14 / (15**2 * 16), rel=0.05)
    real, mixed = (draw_seeds(3, 4000, 0, arm) for arm in ("real", "mixed"))
    assert (real != mixed).any()
    assert np.bincount(real.ravel()) / real.size == pytest.approx([1 / 3] * 3, abs=0.02)
    assert (person_weights(15, 10, 0) == person_weights(15, 10, 0)).all()


def test_arm_replicates_average_the_seeds_drawn() -> None:
    figures = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    draws = np.array([[0, 0, 2], [1, 2, 2]])
    assert arm_replicates(figures, draws) == pytest.approx([(1 + 1 + 5) / 3, (4 + 6 + 6) / 3])


def test_interval_is_the_middle_95_percent() -> None:
    assert interval(np.arange(1001.0)) == (25.0, 975.0)


@pytest.mark.parametrize(
    ("far", "name"), [(1e-3, "1e-3"), (FARS[1], "1.78e-3"), (FARS[4], "1e-2"), (0.1, "1e-1")]
)
def test_operating_points_are_named_by_their_rate(far: float, name: str) -> None:
    assert tar_name(far) == f"tar_at_far_{name}"


def aa_interval(faces: Faces, num_seeds: int, seed: int) -> tuple[float, float]:
    """Interval of the gain of real models over other real models.

    The simulated trainings differ mostly image by image, and a little in common quality; were
    common quality all, few seeds would cover less (see the module's docstring).
    """
    num_people = int(faces.people.max()) + 1
    weights = person_weights(num_people, 100, seed)
    arms: list[npt.NDArray[np.float64]] = []
    for arm in ("real", "mixed"):
        figures = [
            verification_figures(table, weights)[MEAN_TAR]
            for table in (faces.trials(faces.train()).verification for _ in range(num_seeds))
            if table is not None
        ]
        arms.append(arm_replicates(np.stack(figures), draw_seeds(num_seeds, 100, seed, arm)))
    return interval(arms[1] - arms[0])


@pytest.mark.parametrize("num_seeds", [2, 3])
def test_real_against_real_on_other_seeds_covers_zero(num_seeds: int) -> None:
    repeats = 60
    intervals = [
        aa_interval(Faces(12, 4, seed=repeat), num_seeds, repeat) for repeat in range(repeats)
    ]
    covered = sum(low <= 0 <= high for low, high in intervals)
    assert covered >= 0.9 * repeats
    assert all(high - low < 0.6 for low, high in intervals), "covers by being empty of content"
