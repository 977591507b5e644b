"""The workloads of `benchmarks.scale`, each started as a process of its own.

Images are smooth random colours of 112x112 pixels. Dimensions: n images, c channels, h = w pixels,
k classes.
"""

import argparse
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, interpolate
from torch.utils.data import DataLoader, Dataset

from auggen.core.files import atomic_directory
from auggen.core.seeds import torch_generator
from auggen.diffusion.conditioning import ConditionLayer
from auggen.diffusion.samplers import SamplerConfig
from auggen.faces.decode import encode_png, to_unit
from auggen.faces.images import make_batches, on_disk
from auggen.faces.shards import open_face_set, read_face_set
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from auggen.recognition.margins import MarginHead, shares_source
from auggen.synthesis.config import SynthesizeConfig
from auggen.synthesis.generation import Generator, draw_batch, drawn_images
from auggen.synthesis.pool import choose_sources, plan_pool, write_pool

SIZE, PATCHES, BATCH = 112, 7, 128
IMAGES_PER_PERSON, IMAGES_PER_CLASS, START = 10, 25, 2.0
REAL_CLASSES, MIXED_CLASSES = 10_572, 20_000
WIDTHS = {"condition_layer": 768, "margin_head": 512}


def smooth_image(number: int) -> Image.Image:
    """Returns photograph `number`: random colours of a coarse grid, enlarged."""
    coarse = np.random.default_rng(number).integers(0, 256, (PATCHES, PATCHES, 3), np.uint8)
    return Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def source(out: Path, num_images: int) -> None:
    """Writes a tar of JPEG files, ten of each person."""
    with tarfile.open(out, "w") as archive:
        for number in range(num_images):
            stream = io.BytesIO()
            smooth_image(number).save(stream, "JPEG", quality=90)
            member = tarfile.TarInfo("p{}/{}.jpg".format(*divmod(number, IMAGES_PER_PERSON)))
            member.size = stream.tell()
            stream.seek(0)
            archive.addfile(member, stream)


def recogniser(out: Path) -> None:
    """Saves an untrained network that is small enough not to hide everything else."""
    size = {"channels": 3, "image_size": SIZE, "width": 4, "embedding_size": 128, "dropout": 0.0}
    save_recogniser(out, build_backbone("small", **size, seed=0), {"kind": "small", **size})


def stub_network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    """A denoiser that costs nothing: area means of 16x16 pixels, enlarged again."""
    scale = (SIZE / PATCHES) / (2 * (1 + sigma.square()).sqrt())
    coarse = adaptive_avg_pool2d(x, PATCHES) * scale[:, None, None, None]
    return interpolate(coarse, size=SIZE, mode="bilinear")


def synthesize(real_dir: Path, out: Path, num_images: int) -> None:
    """Draws a pool, begun from photographs, with the stub in the network's place."""
    sampler = SamplerConfig(
        kind="heun", num_steps=2, sigma_min=0.01, sigma_max=START, rho=7.0, guidance=1.0,
        precision="fp32",
    )  # fmt: skip
    config = SynthesizeConfig(
        mixing="condition", pair_rule="random", num_classes=num_images // IMAGES_PER_CLASS,
        images_per_class=IMAGES_PER_CLASS, anew_images=0, start_sigma=START,
        batch_size=BATCH, seed=0, sampler=sampler,
    )  # fmt: skip
    faces = read_face_set(real_dir)
    real = faces.manifest
    sources = choose_sources(config, real.num_classes, Tensor)
    recipe = plan_pool(config, sources, 0.7, 0.7)
    run = Accelerator(cpu=True)
    shape = (3, SIZE, SIZE)
    generator = Generator(
        stub_network, real.num_classes, shape, "condition", BATCH, sampler, run.device, faces.images
    )
    draw = partial(draw_batch, generator)
    with (
        drawn_images(draw, BATCH, recipe, run, "scale", config, real_dir) as drawn,
        atomic_directory(out) as folder,
    ):
        write_pool(folder, drawn, recipe, sources, config, real, "stub")


def _batches(folder: Path, images: int) -> Iterator[Tensor]:
    """Yields shuffled training batches, floats in [-1, 1], as the trainers make them."""
    faces = open_face_set(folder)
    order = torch.randperm(len(faces.images), generator=torch_generator("order"))[:images]
    if not on_disk(faces.images):
        raise ValueError(f"{folder}: in memory")
    yield from make_batches(
        lambda step: to_unit(faces.images[order[step * BATCH : (step + 1) * BATCH]]),
        range(len(order) // BATCH),
        faces.images,
    )


def read(folder: Path, images: int) -> None:
    """Opens a set and reads that many images by random row."""
    for _ in _batches(folder, images):
        pass


class _Folder(Dataset[tuple[Tensor, int]]):
    """One file an image, decoded by PIL and turned into floats: what ImageFolder does."""

    def __init__(self, root: Path) -> None:
        people = sorted(root.iterdir())
        self.files = [(path, k) for k, folder in enumerate(people) for path in folder.iterdir()]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        path, label = self.files[row]
        with path.open("rb") as stream:
            image = Image.open(stream).convert("RGB")
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(SIZE, SIZE, 3).permute(2, 0, 1).contiguous()
        return (pixels.float().div(255) - 0.5) / 0.5, label


def loader(folder: Path, files: Path, images: int) -> None:
    """Prints images/s of our loader and of a DataLoader over the same PNGs as files."""
    faces = open_face_set(folder)
    for row in range(images):
        path = files / f"{int(faces.labels[row]):06d}" / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(faces.images[row]))
    workers = len(os.sched_getaffinity(0))
    theirs = DataLoader(_Folder(files), batch_size=BATCH, shuffle=True, num_workers=workers)
    ours: list[float] = []
    peers: list[float] = []
    for _ in range(3):  # in turn, so that a busy machine slows both
        ours.append(_rate(_batches(folder, images), lambda batch: len(batch)))
        peers.append(_rate(iter(theirs), lambda batch: len(batch[0])))
    print(json.dumps({"ours": max(ours), "image_folder": max(peers), "workers": workers}))


def _rate(batches: Iterator[object], count: Callable[..., int]) -> float:
    """Returns images/s after the first batch, without opening the set and starting workers."""
    total, begun = 0, 0.0
    for batch in batches:
        total += count(batch) if begun else 0
        begun = begun or time.perf_counter()
    return total / (time.perf_counter() - begun)


def classes(layer: str) -> None:
    """Prints milliseconds a step (forward, backward) and megabytes of weights of a wide layer."""
    draw = torch_generator("classes")
    if layer == "condition_layer":
        module: nn.Module = ConditionLayer(REAL_CLASSES, WIDTHS[layer])
        condition = torch.zeros(BATCH, REAL_CLASSES)
        condition.scatter_(1, torch.randint(REAL_CLASSES, (BATCH, 2), generator=draw), 0.7)

        def step() -> Tensor:
            return module(condition).square().mean()
    else:
        mixed = torch.randint(REAL_CLASSES, (MIXED_CLASSES, 2), generator=draw)
        own = torch.arange(REAL_CLASSES)[:, None].expand(-1, 2)
        sources = torch.cat([own, mixed])
        weight = torch.randn(len(sources), WIDTHS[layer], generator=draw)
        module = MarginHead("adaface", weight, 64.0)
        embeddings = torch.randn(BATCH, WIDTHS[layer], generator=draw, requires_grad=True)
        labels = torch.randint(len(sources), (BATCH,), generator=draw)

        def step() -> Tensor:
            excluded = shares_source(labels, sources)
            return cross_entropy(
                module(embeddings, labels, torch.full((BATCH,), 0.4), excluded), labels
            )

    times = []
    for _ in range(8):
        begun = time.process_time()
        step().backward()
        times.append((time.process_time() - begun) * 1000)
    weights = sum(p.numel() * p.element_size() for p in module.parameters()) / 1e6
    print(json.dumps({"milliseconds": round(min(times), 1), "weights_mb": round(weights, 1)}))


def main() -> None:
    parts = {p.__name__: p for p in (source, recogniser, synthesize, read, loader, classes)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=parts)
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    paths_or_numbers = [int(a) if a.isdigit() else a for a in given.arguments]
    part = parts[given.part]
    kinds = list(part.__annotations__.values())
    part(*(kind(a) for kind, a in zip(kinds, paths_or_numbers, strict=False)))


if __name__ == "__main__":
    main()
