"""Benchmark `lowres`: 1:N with degraded probes, like TinyFace.

Probes are images reduced to a few pixels and enlarged again; the gallery keeps full resolution.
A hit at k: fewer than k gallery images of other people score as high as the best mate.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet, read_face_set
from auggen.measures.embeddings import Images
from auggen.measures.verification import best_mate_ranks
from auggen.protocols.lists import REMEDY, read_list, row_numbers
from auggen.protocols.trials import Trials, identification_table, normalise_rows

LIST_NAME = "lowres.csv"
PROBE_FOLDER = "lowres"


def run_lowres(
    folder: Path,
    faces: FaceSet,
    embeddings: Float[Tensor, "n d"],
    embed: Callable[[Images], Tensor],
) -> Trials:
    """Ranks the probes of lowres.csv (columns image, role) in the gallery it names.

    `image` is a row of the folder's face set for a gallery image and a row of its face set
    `lowres` for a probe.

    Raises:
        UserError: a list or face set is missing or wrong, or a probe's person has no gallery image.
    """
    path = folder / LIST_NAME
    degraded = read_face_set(folder / PROBE_FOLDER)
    if degraded.manifest.identities != faces.manifest.identities:
        raise UserError(f"{folder / PROBE_FOLDER}: names other people than {folder}; {REMEDY}")
    table = read_list(path, ["image", "role"])
    roles = table["role"]
    if not roles.isin(["gallery", "probe"]).all():
        raise UserError(f"{path}: `role` must be gallery or probe; {REMEDY}")
    gallery = row_numbers(path, table[roles == "gallery"], "image", len(faces.labels))
    probes = row_numbers(path, table[roles == "probe"], "image", len(degraded.labels))
    gallery_people = faces.labels.numpy()[gallery]
    probe_people = degraded.labels.numpy()[probes]
    ranks = best_mate_ranks(
        normalise_rows(embed(degraded.images))[probes],
        normalise_rows(embeddings)[gallery],
        probe_people,
        gallery_people,
    )
    return Trials(
        identification=identification_table(path, probe_people, gallery_people, np.asarray(ranks))
    )
