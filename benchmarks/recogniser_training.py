"""Our recogniser's training against a plain PyTorch loop that decodes and augments with PIL.

A round is the pilot's whole training, with what ours does but once (start, checkpoints, writing
the model).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from auggen.core.params import read_params
from auggen.faces.decode import encode_png
from auggen.recognition.config import AugmentConfig, TrainConfig
from auggen.recognition.training import build_recogniser, train_recogniser
from auggen.recognition.training_data import TrainingData, read_training_data
from benchmarks.contenders import PARAMS, SEED, Contender, training_folder, use_all_cores


class PngFolder(Dataset[tuple[Tensor, int]]):
    """PNG files, one folder a class, decoded and augmented at every access."""

    def __init__(self, folder: Path, data: TrainingData, config: AugmentConfig) -> None:
        self._config = config
        self._files: list[tuple[Path, int]] = []
        for row, label in enumerate(data.labels.tolist()):
            path = folder / str(label) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(data.images[row]))
            self._files.append((path, label))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        path, label = self._files[row]
        rng = np.random.default_rng(int(torch.randint(2**62, (1,))))
        image = _geometric(_photometric(Image.open(path), self._config, rng), self._config, rng)
        image = _erase(_lowres(image, self._config, rng), self._config, rng)
        pixels = np.asarray(image, dtype=np.float32) / 127.5 - 1.0
        return torch.from_numpy(pixels.reshape(*image.size, -1)).permute(2, 0, 1), label


def _photometric(
    image: Image.Image, config: AugmentConfig, rng: np.random.Generator
) -> Image.Image:
    """Contrast, brightness and a light gradient."""
    if rng.random() >= config.photometric:
        return image
    pixels = np.asarray(image, dtype=np.float32)
    mean, (height, width) = pixels.mean(), pixels.shape[:2]
    slope, angle = rng.uniform(0, 0.4), rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    ramp = slope * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(-0.3, 0.3)
    ramp = ramp if pixels.ndim == 2 else ramp[:, :, None]
    pixels = (pixels - mean) * rng.uniform(0.6, 1.4) + mean + 127.5 * ramp
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _geometric(image: Image.Image, config: AugmentConfig, rng: np.random.Generator) -> Image.Image:
    """Mirror, random window and affine map as one bilinear resampling."""
    side = image.size[0]
    mirror = -1.0 if rng.random() < config.flip else 1.0
    window = rng.uniform(0.6, 1.0) if rng.random() < config.crop else 1.0
    shift = (1 - window) * rng.uniform(-1, 1, size=2)
    angle = 0.0
    if rng.random() < config.affine:
        angle = np.deg2rad(rng.uniform(-12, 12))
        window *= 1 + rng.uniform(-0.1, 0.1)
        shift += rng.uniform(-0.16, 0.16, size=2)
    cos, sin, middle = window * np.cos(angle), window * np.sin(angle), side / 2
    x = middle * (1 - cos * mirror + sin + shift[0])
    y = middle * (1 - sin * mirror - cos + shift[1])
    matrix = (cos * mirror, -sin, x, sin * mirror, cos, y)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _lowres(image: Image.Image, config: AugmentConfig, rng: np.random.Generator) -> Image.Image:
    """Area reduction and bilinear return."""
    if rng.random() >= config.lowres:
        return image
    side = max(1, round(image.size[0] * rng.choice([0.25, 0.375, 0.5, 0.75])))
    small = image.resize((side, side), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BILINEAR)


def _erase(image: Image.Image, config: AugmentConfig, rng: np.random.Generator) -> Image.Image:
    """A rectangle of 15 to 45 % of the side set to mid grey."""
    if rng.random() >= config.erase:
        return image
    side = image.size[0]
    half, (x, y) = rng.uniform(0.075, 0.225) * side, rng.uniform(0, side, size=2)
    box = (max(0, round(x - half)), max(0, round(y - half)))
    box += (min(side, round(x + half)), min(side, round(y + half)))
    if box[0] < box[2] and box[1] < box[3]:
        image.paste(128 if image.mode == "L" else (128,) * 3, box)
    return image


def ours(scratch: Path, *, bf16: bool = False) -> Contender:
    """The stage's function whole: batches, updates, weight average, writing the model."""
    config = read_params(PARAMS, "train_fr", TrainConfig)
    if bf16:
        config = config.model_copy(update={"precision": "bf16"})
    folder = training_folder(scratch)
    data = read_training_data(folder)

    def run() -> int:
        train_recogniser(data, config, SEED, scratch / "model", folder)
        return config.num_steps(len(data.labels)) * config.batch_size

    return Contender(run)


def plain(scratch: Path, *, workers: int) -> Contender:
    """The same backbone and head, fp32, SGD, no weight average, nothing deterministic."""
    config = read_params(PARAMS, "train_fr", TrainConfig)
    data = read_training_data(training_folder(scratch))
    use_all_cores()
    model, _ = build_recogniser(config, data, SEED)
    images = PngFolder(scratch / "png", data, config.augment)
    steps = config.num_steps(len(data.labels))
    sampler = RandomSampler(images, replacement=True, num_samples=steps * config.batch_size)
    loader = DataLoader(
        images,
        batch_size=config.batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    margin = torch.full((config.batch_size,), config.margin)

    def run() -> int:
        model.train()
        for pixels, labels in loader:
            loss = model(pixels, labels, margin, None).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return steps * config.batch_size

    return Contender(run, {"workers": workers})


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "ours": ours,
    "bf16": partial(ours, bf16=True),
    "plain_2_workers": partial(plain, workers=2),
    "plain_0_workers": partial(plain, workers=0),
}
