"""Held-out people of noise around a pattern each, and recognisers simulated by their embeddings."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor

from auggen.faces.shards import write_face_set
from auggen.measures.verification import best_mate_ranks
from auggen.protocols.results import Results
from auggen.protocols.trials import Trials, all_pairs, identification_table, normalise_rows

PEOPLE, IMAGES = 6, 4
BENCHMARKS = [
    {"name": name, "protocol": name, "headline": True} for name in ("pairs", "templates", "lowres")
]


def embed_pixels(images: Tensor) -> Tensor:
    """A recogniser that needs no training: the pixels themselves, centred."""
    return images.flatten(1).float() - 127.5


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """A face set with its three lists, as `prepare` writes them, in hand-made form."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 256, (PEOPLE, 1, 8, 8), generator=generator).float()
    noise = 60 * torch.randn(PEOPLE, IMAGES, 1, 8, 8, generator=generator)
    images = (patterns[:, None] + noise).clamp(0, 255).to(torch.uint8).flatten(0, 1)
    labels = [person for person in range(PEOPLE) for _ in range(IMAGES)]
    names = [f"person-{person}" for person in range(PEOPLE)]
    folder = tmp_path / "held_out"
    (folder / "lowres").mkdir(parents=True)
    paths = [f"{row}.png" for row in range(len(labels))]
    write_face_set(folder, images, labels, paths, identities=names, source_digest="x")
    probes = [row for row in range(len(labels)) if row % IMAGES]
    write_face_set(
        folder / "lowres",
        images[probes] // 2 + 64,
        [labels[row] for row in probes],
        [paths[row] for row in probes],
        identities=names,
        source_digest="x",
    )
    roles = ["gallery"] * PEOPLE + ["probe"] * len(probes)
    lowres = {"image": [*range(0, len(labels), IMAGES), *range(len(probes))], "role": roles}
    write_list(folder, "lowres", pd.DataFrame(lowres))
    rows = [
        (IMAGES * person + image, 2 * person + image // 2, person, ("gallery", "probe")[image // 2])
        for person in range(PEOPLE)
        for image in range(IMAGES)
    ]
    templates = pd.DataFrame(rows, columns=["image", "template", "identity", "role"])
    write_list(folder, "templates", templates)
    pairs = [
        row
        for person in range(PEOPLE)
        for image in range(IMAGES - 1)
        for row in (
            (person, IMAGES * person + image, IMAGES * person + image + 1, 1),
            (person, IMAGES * person + image, (IMAGES * (person + 1) + image) % len(labels), 0),
        )
    ]
    write_list(folder, "pairs", pd.DataFrame(pairs, columns=["fold", "a", "b", "is_same"]))
    return folder


def write_list(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Writes a benchmark list."""
    table.to_csv(folder / f"{name}.csv", index=False)


def read_list(folder: Path, name: str) -> pd.DataFrame:
    """Reads a benchmark list."""
    return pd.read_csv(folder / f"{name}.csv")


class Faces:
    """Simulated photographs, and recognisers that differ by the noise of their training."""

    def __init__(self, num_people: int, images_each: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.people = np.repeat(np.arange(num_people), images_each)
        self.photographs = self.random.normal(size=(num_people, 16))[self.people]
        self.photographs += 0.8 * self.random.normal(size=self.photographs.shape)

    def train(self, quality: float = 0.05) -> npt.NDArray[np.float64]:
        """One recogniser's embeddings: noise of its own, and more or less of it by luck."""
        spread = 0.5 * np.exp(quality * self.random.normal())
        return self.photographs + spread * self.random.normal(size=self.photographs.shape)

    def trials(self, embeddings: npt.NDArray[np.float64], *, search: bool = False) -> Trials:
        """All pairs of images and, if asked for, a search with each person's first as gallery."""
        unit = normalise_rows(torch.from_numpy(embeddings))
        if not search:
            return Trials(all_pairs(unit, self.people))
        gallery = np.unique(self.people, return_index=True)[1]
        probes = np.setdiff1d(np.arange(len(self.people)), gallery)
        known, asked = self.people[gallery], self.people[probes]
        ranks = best_mate_ranks(unit[probes], unit[gallery], asked, known)
        found = identification_table(Path("lowres.csv"), asked, known, ranks)
        return Trials(
            all_pairs(unit, self.people), found, {"accuracy_10_fold": 0.5, "accuracy_std": 0.1}
        )

    def results(self, arms: dict[str, list[npt.NDArray[np.float64]]]) -> Results:
        """What `read_results` would return for these models and the three benchmarks."""
        every = {
            arm: [self.trials(model, search=True) for model in models]
            for arm, models in arms.items()
        }
        chosen = {
            "pairs": lambda t: Trials(t.verification, None, t.figures),
            "templates": lambda t: Trials(t.verification, t.identification),
            "lowres": lambda t: Trials(None, t.identification),
        }
        names = [f"s{person}" for person in range(int(self.people.max()) + 1)]
        return Results(
            names,
            {
                name: {arm: [pick(t) for t in trials] for arm, trials in every.items()}
                for name, pick in chosen.items()
            },
        )
