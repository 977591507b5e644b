"""Our generator's training against the loop that diffusers documents for unconditional images.

The peers follow examples/unconditional_image_generation of diffusers with its defaults: fp32,
images decoded and transformed one by one in the main process, DDPM noise, AdamW, cosine schedule,
gradients clipped to 1, EMAModel at every update. torchvision's transforms are written with PIL.
"""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from auggen.core.devices import start_accelerator
from auggen.core.params import read_params
from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.network import build_denoiser
from auggen.diffusion.training import architecture_of, fit
from auggen.faces.decode import encode_png
from auggen.faces.shards import FaceSet
from benchmarks.contenders import PARAMS, SEED, Contender, training_faces, use_all_cores

STEPS = 20
STEPS_PIXELS = 5
"""Updates in a round; on plain pixels one takes several times as long."""


class PilImages(Dataset[dict[str, Tensor]]):
    """Encoded images, decoded and transformed at every access."""

    def __init__(self, faces: FaceSet) -> None:
        rows = range(len(faces.images))
        self._encoded = [encode_png(faces.images[row]) for row in rows]
        self._labels = faces.labels.tolist()
        self._side = faces.manifest.image_size
        self._mode = "L" if faces.manifest.channels == 1 else "RGB"

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        image = Image.open(io.BytesIO(self._encoded[row])).convert(self._mode)
        scale = self._side / min(image.size)  # Resize: the shorter side
        width, height = (round(length * scale) for length in image.size)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - self._side) // 2, (height - self._side) // 2  # CenterCrop
        image = image.crop((left, top, left + self._side, top + self._side))
        if torch.rand(1) < 0.5:  # RandomHorizontalFlip
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(image).reshape(self._side, self._side, -1)
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous().float() / 255
        return {"input": (tensor - 0.5) / 0.5, "label": torch.tensor(self._labels[row])}


class PatchUNet(nn.Module):
    """The UNet with our patches and classes around it: (images, t, labels) -> noise."""

    def __init__(self, unet: UNet2DModel, num_classes: int, patch_size: int) -> None:
        super().__init__()
        self.unet = unet
        self.classes = nn.Embedding(num_classes, unet.config.block_out_channels[0] * 4)
        self.patch_size = patch_size

    def forward(self, images: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(images, self.patch_size)
        raw = self.unet(patches, timesteps, class_labels=self.classes(labels)).sample
        return F.pixel_shuffle(raw, self.patch_size)


def ours(scratch: Path) -> Contender:
    """`fit` as the stage calls it, without checkpoints."""
    config = read_params(PARAMS, "train_generator", GeneratorConfig)
    faces = training_faces(scratch)
    accelerator = start_accelerator(config.precision)
    denoiser = build_denoiser(architecture_of(config, faces), SEED)
    short = config.model_copy(update={"steps": STEPS, "checkpoint_every": STEPS})

    def run() -> int:
        fit(denoiser, faces, short, accelerator, scratch / "no state")
        return STEPS * config.batch_size

    return Contender(run)


def documented(scratch: Path, *, pixels: bool) -> Contender:
    """The documented loop over the same UNet, or over one of its size without patches."""
    config = read_params(PARAMS, "train_generator", GeneratorConfig)
    faces = training_faces(scratch)
    use_all_cores()
    model = _pixel_unet(config, faces) if pixels else _same_unet(config, faces)
    steps = STEPS_PIXELS if pixels else STEPS
    accelerator = Accelerator(mixed_precision="no", cpu=True)
    use_all_cores()  # accelerate may have set one thread
    images = PilImages(faces)
    sampler = RandomSampler(images, replacement=True, num_samples=steps * config.batch_size)
    loader = DataLoader(images, batch_size=config.batch_size, sampler=sampler)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
    )
    schedule = get_scheduler(
        "cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=config.steps
    )
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    average = EMAModel(
        model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4
    )
    noise_scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")

    def run() -> int:
        model.train()
        for batch in loader:
            clean = batch["input"]
            noise = torch.randn(clean.shape)
            timesteps = torch.randint(0, 1000, (len(clean),)).long()
            noisy = noise_scheduler.add_noise(clean, noise, timesteps)
            condition = () if pixels else (batch["label"],)
            predicted = model(noisy, timesteps, *condition)
            loss = F.mse_loss(predicted.sample if pixels else predicted, noise)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            average.step(model.parameters())
            loss.detach().item()  # the loop logs it
        return steps * config.batch_size

    return Contender(run)


def _same_unet(config: GeneratorConfig, faces: FaceSet) -> nn.Module:
    network = build_denoiser(architecture_of(config, faces), SEED).network
    unet = UNet2DModel.from_config(network.config)
    return PatchUNet(unet, faces.num_classes, config.patch_size)


def _pixel_unet(config: GeneratorConfig, faces: FaceSet) -> nn.Module:
    network = build_denoiser(architecture_of(config, faces), SEED).network
    shape = {"sample_size": faces.manifest.image_size, "class_embed_type": None}
    channels = faces.manifest.channels
    settings = {**network.config, **shape, "in_channels": channels, "out_channels": channels}
    return UNet2DModel.from_config(settings)


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "ours": ours,
    "same_network": partial(documented, pixels=False),
    "same_unet_on_pixels": partial(documented, pixels=True),
}
