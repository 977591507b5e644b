"""1:N searches against loops, with ties, distractors and absent mates."""

import numpy as np
import pytest
import torch

from auggen.measures import identification
from auggen.measures.identification import mate_ranks, open_set, search_galleries
from auggen.measures.verification import best_mate_ranks


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
@pytest.mark.parametrize("seed", range(3))
def test_ranks_agree_with_a_loop(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "_BLOCK", block)
    random = np.random.default_rng(seed)
    probes = random.integers(-1, 2, (40, 4)).astype(np.float32)
    gallery = random.integers(-1, 2, (25, 4)).astype(np.float32)
    probe_people, gallery_people = random.integers(-1, 7, 40), random.integers(-1, 6, 25)
    found = mate_ranks(
        torch.from_numpy(probes), torch.from_numpy(gallery), probe_people, gallery_people
    )
    seen = {"tie": 0, "absent": 0, "several": 0}
    for row, person in enumerate(probe_people):
        scores = [float(np.dot(probes[row], face)) for face in gallery]
        mates = [s for s, p in zip(scores, gallery_people, strict=True) if p == person and p >= 0]
        others = [s for s, p in zip(scores, gallery_people, strict=True) if p != person or p < 0]
        assert found[row] == (sum(s >= max(mates) for s in others) if mates else 25)
        seen["absent"] += not mates
        seen["several"] += len(mates) > 1
        seen["tie"] += bool(mates) and max(mates) in others
    assert min(seen.values()) > 3
    known = gallery_people.copy()
    known[known < 0] = 1000 + np.arange((known < 0).sum())
    slow = best_mate_ranks(probes, gallery, probe_people, known)
    np.testing.assert_array_equal(found[probe_people >= 0], slow[probe_people >= 0])


@pytest.mark.parametrize("seed", range(6))
def test_open_set_agrees_with_a_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    gallery_people = random.permutation([3, 5, 8, 40, 41])
    probe_people = random.choice([3, 5, 8, 40, 41, 60, 61, 62], 60)
    gallery = random.normal(size=(5, 6)).round(seed % 2 + 1).astype(np.float32)
    places = {person: place for place, person in enumerate(gallery_people)}
    noise = random.normal(size=(60, 6)).round(1)
    probes = np.stack(
        [
            gallery[places.get(p, 0)] * (p in places) + n
            for p, n in zip(probe_people, noise, strict=True)
        ]
    ).astype(np.float32)
    unit = torch.from_numpy(probes)
    parts = [torch.from_numpy(gallery), torch.from_numpy(gallery[:2] + 1)]
    known = [gallery_people, np.array([61, 99])]
    monkeypatch.setattr(identification, "_SMALL_BLOCK", 40)
    ranks, (found, _) = search_galleries(unit, parts, probe_people, known)
    together = torch.cat(parts), probe_people, np.concatenate(known)
    np.testing.assert_array_equal(ranks, mate_ranks(unit, *together))
    table = (unit @ parts[0].T).numpy()
    rates = [0.05, 0.1, 0.5, 1.0]
    result = open_set(found, rates)
    alarms = [max(table[row]) for row in range(60) if probe_people[row] not in places]
    for column, rate in enumerate(rates):
        cuts = [*alarms, -np.inf]
        threshold = min(c for c in cuts if np.mean([a > c for a in alarms]) <= rate)
        misses = []
        for row, person in enumerate(probe_people):
            if person in places:
                mate = table[row][places[person]]
                others = [s for place, s in enumerate(table[row]) if place != places[person]]
                misses.append(not (mate > threshold and all(mate > s for s in others)))
        assert result.false_negatives[column] == pytest.approx(np.mean(misses))
        assert result.false_positives[column] == sum(a > threshold for a in alarms)


def test_open_set_needs_both_kinds_of_probes() -> None:
    people = np.array([1, 2])
    eye = torch.eye(2)
    _, (found,) = search_galleries(eye, [eye], people, [people])
    with pytest.raises(ValueError, match="with and without a mate"):
        open_set(found, [0.1])
