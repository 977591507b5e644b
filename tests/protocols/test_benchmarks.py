"""The three protocols on a small face set, against loops; and what a wrong list says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.shards import read_face_set
from auggen.measures.verification import ten_fold_accuracy
from auggen.protocols.lowres import run_lowres
from auggen.protocols.pairs import NOT_LISTED, run_pairs
from auggen.protocols.templates import pool_templates, run_templates
from auggen.protocols.trials import Trials
from tests.protocols.conftest import IMAGES, PEOPLE, embed_pixels, read_list, write_list


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def run(protocol: str, folder: Path) -> Trials:
    faces = read_face_set(folder)
    embeddings = embed_pixels(faces.images)
    if protocol == "pairs":
        return run_pairs(folder, faces, embeddings)
    if protocol == "templates":
        return run_templates(folder, faces, embeddings)
    return run_lowres(folder, faces, embeddings, embed_pixels)


def test_pairs_scores_every_pair_of_images_once(held_out: Path) -> None:
    trials = run("pairs", held_out)
    faces = read_face_set(held_out)
    x = embed_pixels(faces.images)
    table = trials.verification
    assert table is not None
    row = 0
    for a in range(len(x)):
        for b in range(a + 1, len(x)):
            found = table.iloc[row]
            assert found["score"] == pytest.approx(cosine(x[a], x[b]), abs=1e-6)
            assert (found["person_a"], found["person_b"]) == (a // IMAGES, b // IMAGES)
            assert found["is_same"] == (a // IMAGES == b // IMAGES)
            row += 1
    assert row == len(table)


def test_pairs_marks_the_listed_folds_and_measures_their_accuracy(held_out: Path) -> None:
    trials = run("pairs", held_out)
    table, listed = trials.verification, read_list(held_out, "pairs")
    assert table is not None
    in_folds = table[table["fold"] != NOT_LISTED]
    assert len(in_folds) == len(listed)
    assert in_folds.groupby("fold")["is_same"].sum().tolist() == [IMAGES - 1] * PEOPLE
    expected = ten_fold_accuracy(
        2 - 2 * in_folds["score"].to_numpy(dtype=np.float64),
        in_folds["is_same"].to_numpy(),
        in_folds["fold"].to_numpy(),
    )
    assert trials.figures["accuracy_10_fold"] == pytest.approx(expected.mean(), abs=0.05)


def test_a_template_is_the_normalised_mean_of_raw_embeddings(held_out: Path) -> None:
    trials = run("templates", held_out)
    x = embed_pixels(read_face_set(held_out).images).double()
    means = [x[2 * t : 2 * t + 2].mean(0) for t in range(2 * PEOPLE)]
    table = trials.verification
    assert table is not None
    scores = [cosine(means[a], means[b]) for a in range(12) for b in range(a + 1, 12)]
    np.testing.assert_allclose(table["score"], scores, atol=1e-6)
    found = trials.identification
    assert found is not None
    assert found["person"].tolist() == list(range(PEOPLE))
    for person in range(PEOPLE):
        against = [cosine(means[2 * person + 1], means[2 * other]) for other in range(PEOPLE)]
        rank = sum(s >= against[person] for s in against) - 1
        assert found["rank"][person] == rank


def test_pooling_weighs_images_by_the_length_of_their_embedding() -> None:
    pooled = pool_templates(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]), 1)
    assert pooled.tolist() == [[1.5, 0.5]]


def test_lowres_ranks_degraded_probes_in_the_gallery(held_out: Path) -> None:
    found = run("lowres", held_out).identification
    assert found is not None
    assert len(found) == PEOPLE * (IMAGES - 1)
    x = embed_pixels(read_face_set(held_out).images)
    y = embed_pixels(read_face_set(held_out / "lowres").images)
    for row, probe in enumerate(y):
        person = row // (IMAGES - 1)
        scores = [cosine(probe, x[IMAGES * other]) for other in range(PEOPLE)]
        assert found["rank"][row] == sum(s >= scores[person] for s in scores) - 1
        assert found["person"][row] == person


@pytest.mark.parametrize("protocol", ["pairs", "templates"])
def test_the_order_of_a_list_does_not_matter(held_out: Path, protocol: str) -> None:
    before = run(protocol, held_out)
    listed = read_list(held_out, protocol)
    write_list(held_out, protocol, listed.sample(frac=1, random_state=0))
    after = run(protocol, held_out)
    assert before.verification is not None
    pd.testing.assert_frame_equal(before.verification, after.verification)
    assert before.figures == after.figures


def change(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[1, column] = value
        return table

    return changed


@pytest.mark.parametrize(
    ("protocol", "spoil", "message"),
    [
        ("pairs", change("a", 99), "names image 99 of a face set of 24"),
        ("pairs", change("b", -1), "names image -1"),
        ("pairs", change("a", "x"), "other things than integers"),
        ("pairs", change("is_same", 1), "contradicts the people"),
        ("pairs", lambda table: table.drop(columns="b"), "has no column `b`"),
        ("pairs", lambda table: table[:0], "lists nothing"),
        ("pairs", lambda table: table[table["fold"] == 0], "at least two folds"),
        ("templates", change("image", 24), "names image 24"),
        ("templates", change("role", "galery"), "`role` must be gallery or probe"),
        ("templates", change("template", 3), "template 3 mixes people or roles"),
        ("templates", change("role", "probe"), "template 0 mixes people or roles"),
        ("templates", lambda t: t[t["role"] == "gallery"], "gives no genuine pair"),
        ("templates", lambda t: t[t["identity"] == 0], "gives no impostor pair"),
        ("templates", lambda t: t[t["template"] > 0], "not in the gallery"),
        ("lowres", change("role", ""), "`role` must be gallery or probe"),
        ("lowres", change("image", 50), "names image 50"),
        ("lowres", lambda table: table[1:], "not in the gallery"),
        ("lowres", lambda table: table[table["role"] == "gallery"], "has no probe"),
    ],
)
def test_a_wrong_list_is_one_clear_error(
    held_out: Path,
    protocol: str,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    write_list(held_out, protocol, spoil(read_list(held_out, protocol)))
    with pytest.raises(UserError, match=rf"{protocol}\.csv: .*{message}"):
        run(protocol, held_out)


@pytest.mark.parametrize("protocol", ["pairs", "templates", "lowres"])
def test_a_missing_or_unreadable_list_is_named(held_out: Path, protocol: str) -> None:
    path = held_out / f"{protocol}.csv"
    path.write_text("")
    with pytest.raises(UserError, match=f"{protocol}.csv: not a CSV table"):
        run(protocol, held_out)
    path.unlink()
    with pytest.raises(UserError, match=f"{protocol}.csv: missing; .*dvc repro"):
        run(protocol, held_out)


def test_probes_of_other_people_are_refused(held_out: Path) -> None:
    path = held_out / "lowres" / "manifest.json"
    path.write_text(path.read_text().replace("person-0", "stranger"))
    with pytest.raises(UserError, match="lowres: names other people"):
        run("lowres", held_out)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_broken_embeddings_are_refused(held_out: Path, value: float) -> None:
    faces = read_face_set(held_out)
    embeddings = embed_pixels(faces.images)
    embeddings[3] = value
    with pytest.raises(UserError, match="zero, NaN or infinite"):
        run_pairs(held_out, faces, embeddings)
