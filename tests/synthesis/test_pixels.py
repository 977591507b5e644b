from pathlib import Path

import torch

from auggen.faces.shards import read_face_set, write_face_set
from auggen.synthesis.generation import Recipe
from auggen.synthesis.pixels import mix_photographs


def test_each_image_is_the_mean_of_a_photograph_of_each_source(tmp_path: Path) -> None:
    """Against all means of two photographs: it is one of its pair's, whatever the batch."""
    photos = torch.randint(0, 256, (12, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    write_face_set(
        tmp_path, photos.to(torch.uint8), [k // 4 for k in range(12)],
        [f"{k}.png" for k in range(12)],
        identities=["a", "b", "c"], source_digest="0",
    )  # fmt: skip
    half = torch.full((20,), 0.5)
    i, j = torch.arange(20) % 3, (torch.arange(20) + 1) % 3
    recipe = Recipe(i, j, half, half, torch.arange(20) + 5)
    faces = read_face_set(tmp_path)
    images = mix_photographs(faces, recipe)
    seen = set()
    for k, image in enumerate(images.int()):
        pairs = [(4 * i[k] + a, 4 * j[k] + b) for a in range(4) for b in range(4)]
        off = [(image - (photos[a] + photos[b]) / 2).abs().max() for a, b in pairs]
        assert min(off) <= 1.0
        seen.add(int(torch.stack(off).argmin()))
    assert len(seen) > 5
    part = torch.tensor([7, 2])
    assert torch.equal(mix_photographs(faces, recipe.part(part)), images[part])
