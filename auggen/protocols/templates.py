"""Benchmark `templates`: 1:1 and 1:N over sets of images of one person, like IJB-B and IJB-C.

A template is the L2-normalised mean of the raw embeddings of its images, so that an image counts
by the length of its embedding (the usual IJB default; no detector scores exist here). 1:1 scores
all pairs of templates; 1:N looks probes up in a gallery of the first template of each person.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet
from auggen.measures.verification import best_mate_ranks
from auggen.protocols.lists import REMEDY, read_list, row_numbers
from auggen.protocols.trials import (
    Trials,
    all_pairs,
    check_both_kinds,
    identification_table,
    normalise_rows,
)

LIST_NAME = "templates.csv"


def pool_templates(
    embeddings: Float[Tensor, "m d"], templates: Int64[Tensor, "m"], num_templates: int
) -> Float[Tensor, "t d"]:
    """Returns the mean of the m raw embeddings of each of t templates, in float64."""
    sums = torch.zeros(num_templates, embeddings.shape[1], dtype=torch.float64)
    sums.index_add_(0, templates, embeddings.double())
    return sums / torch.bincount(templates, minlength=num_templates).unsqueeze(1)


def run_templates(folder: Path, faces: FaceSet, embeddings: Float[Tensor, "n d"]) -> Trials:
    """Runs both protocols on templates.csv (columns image, template, identity, role).

    Raises:
        UserError: the list is missing or wrong, a template mixes people or roles, or a probe's
            person is not in the gallery.
    """
    path = folder / LIST_NAME
    table = read_list(path, ["image", "template", "role"])
    images = row_numbers(path, table, "image", len(faces.labels))
    names, firsts, templates = np.unique(
        table["template"].to_numpy(), return_index=True, return_inverse=True
    )
    people = faces.labels.numpy()[images]
    is_gallery = (table["role"] == "gallery").to_numpy()
    if not (is_gallery | (table["role"] == "probe").to_numpy()).all():
        raise UserError(f"{path}: `role` must be gallery or probe; {REMEDY}")
    mixed = (people != people[firsts][templates]) | (is_gallery != is_gallery[firsts][templates])
    if mixed.any():
        name = names[templates[mixed.argmax()]]
        raise UserError(f"{path}: template {name} mixes people or roles; {REMEDY}")
    people, is_gallery = people[firsts], is_gallery[firsts]
    pooled = pool_templates(
        embeddings[torch.from_numpy(images)], torch.from_numpy(templates), len(names)
    )
    unit = normalise_rows(pooled)
    verification = all_pairs(unit, people)
    check_both_kinds(path, verification["is_same"].to_numpy())
    ranks = best_mate_ranks(
        unit[~is_gallery], unit[is_gallery], people[~is_gallery], people[is_gallery]
    )
    identification = identification_table(path, people[~is_gallery], people[is_gallery], ranks)
    return Trials(verification, identification)
