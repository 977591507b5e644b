"""Embeddings do not depend on what else is embedded with them."""

import torch

from auggen.measures.embeddings import embed_images, normalise


def test_fixed_batch_and_flip():
    images = torch.randint(
        0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    weight = torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
    sizes = []

    def model(pixels):
        sizes.append(len(pixels))
        return pixels.flatten(1) @ weight

    got = embed_images(model, images, batch_size=3, flip=True)
    assert set(sizes) == {3}
    pixels = images.float() / 127.5 - 1
    torch.testing.assert_close(got, model(pixels) + model(pixels.flip(-1)))
    alone = embed_images(model, images[4:5], batch_size=3, flip=True)
    assert torch.equal(alone[0], got[4])


def test_normalise():
    got = normalise(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
