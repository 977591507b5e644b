"""Made-up faces that stages can be timed on before there are any data.

Dimensions: n images, c channels, s side in pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from auggen.core.files import write_json
from auggen.core.seeds import torch_generator
from auggen.faces.decode import encode_png
from auggen.faces.shards import write_face_set
from auggen.plan.settings import Settings, Sizes
from auggen.recognition.mixing_plan import MixingPlan
from auggen.recognition.selection_table import SELECTION_NAME

_COARSE = 8
_GRAIN = 6.0


def draw_faces(count: int, channels: int, side: int) -> UInt8[Tensor, "n c s s"]:
    """Draws smooth blots with a little grain: they decode and compress about as faces do."""
    generator = torch_generator("made-up faces")
    coarse = torch.rand(count, channels, _COARSE, _COARSE, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    grain = torch.randn(smooth.shape, generator=generator) * _GRAIN
    return (smooth + grain).clamp(0, 255).to(torch.uint8)


def write_photos(folder: Path, faces: UInt8[Tensor, "n c s s"], people: int) -> None:
    """Writes `<person>/<image>.png`, as many images of each person as there are."""
    for number, image in enumerate(faces):
        path = folder / f"p{number % people}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(image))


def write_faces(
    folder: Path, faces: UInt8[Tensor, "n c s s"], labels: Sequence[int], num_classes: int
) -> None:
    """Writes a face set of so many classes, most of which may have no image."""
    folder.mkdir(parents=True, exist_ok=True)
    write_face_set(
        folder,
        faces,
        labels,
        [f"{number}.png" for number in range(len(faces))],
        identities=[f"p{label}" for label in range(num_classes)],
        source_digest="made up",
    )


def write_training_folders(
    real: Path, mixed: Path, faces: UInt8[Tensor, "n c s s"], settings: Settings, sizes: Sizes
) -> None:
    """Writes a real and a mixed training folder with all classes of the run and few images."""
    labels = [number % sizes.real_people for number in range(len(faces))]
    for folder in (real, mixed):
        write_faces(folder, faces, labels, sizes.real_people)
    if not sizes.selected_images:
        return
    write_faces(mixed / "synthetic", faces, [0] * len(faces), 1)
    rows = max(sizes.mixed_people, len(faces))
    number = np.arange(rows)
    table = {
        "row": number % len(faces),
        "label": number % sizes.mixed_people if sizes.mixed_people else -1 - number % 2,
        "pool_label": 0,
        "source_i": number % sizes.real_people,
        "source_j": (number + (1 if sizes.mixed_people else 0)) % sizes.real_people,
    }
    pd.DataFrame(table).to_parquet(mixed / SELECTION_NAME)
    shared = settings.select.model_dump(include=set(MixingPlan.model_fields))
    plan = MixingPlan(
        mix_ratio=settings.mix_ratio, num_classes=sizes.mixed_people, num_images=rows, **shared
    )
    write_json(mixed / "selection.json", plan.model_dump())
