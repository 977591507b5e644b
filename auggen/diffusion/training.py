"""Training the generator: EDM from scratch on one labelled face set.

Every batch depends on (seed, step) alone, so a resumed run needs nothing but `TrainingState`.
Dimensions: n images, c channels, h x w pixels, k classes, a augmentations.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from auggen.core.checkpoints import resume_folder
from auggen.core.devices import start_accelerator, to_device
from auggen.core.ema import ema_decay_at, update_ema
from auggen.core.errors import UserError
from auggen.core.files import atomic_directory, write_bytes
from auggen.core.progress import progress
from auggen.core.seeds import derive_seed, torch_generator
from auggen.diffusion.augmentation import augment_images, draw_augmentations
from auggen.diffusion.checkpoint import save_generator
from auggen.diffusion.conditioning import drop_conditions, one_hot
from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.edm import denoising_loss, draw_sigma
from auggen.diffusion.network import Architecture, Denoiser, build_denoiser
from auggen.diffusion.pictures import draw_samples_sheet
from auggen.diffusion.state import TrainingState
from auggen.faces.decode import to_unit
from auggen.faces.images import make_batches
from auggen.faces.shards import FaceSet

_LOSS_POINTS = 200
_STATE_NAME = "state.safetensors"


@dataclass(frozen=True)
class Batch:
    """One process's part of an update's batch."""

    pixels: Tensor
    """[n c h w] images as bytes."""
    noise: Tensor
    """[n c h w] standard normal."""
    sigma: Tensor
    """[n] noise levels."""
    condition: Tensor
    """[n k] one-hot, or zeros where the class is hidden."""
    augment: Tensor
    """[n a] what to do to the images."""

    def to(self, device: torch.device) -> "Batch":
        """Returns a copy on a device."""
        return Batch(**{name: to_device(tensor, device) for name, tensor in vars(self).items()})

    def split(self, rows: int) -> list["Batch"]:
        """Returns parts of at most so many rows, in order; 0: the whole."""
        columns = {name: tensor.split(rows or len(tensor)) for name, tensor in vars(self).items()}
        return [
            Batch(**dict(zip(columns, part, strict=True)))
            for part in zip(*columns.values(), strict=True)
        ]

    def clean(self) -> Tensor:
        """Returns the augmented images [n c h w], nominally in [-1, 1]."""
        return augment_images(to_unit(self.pixels), self.augment)


def learning_rate_at(step: int, config: GeneratorConfig) -> float:
    """Returns the rate of update `step` (from 0): linear warm-up, then a cosine down to 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def draw_batch(
    faces: FaceSet, config: GeneratorConfig, step: int, rank: int = 0, num_ranks: int = 1
) -> Batch:
    """Draws the whole batch of update `step`, then returns the rows of one process."""
    count, generator = config.batch_size, torch_generator(config.seed, "generator batch", step)
    rows = torch.randint(len(faces.images), (count,), generator=generator)
    sigma = draw_sigma(count, config.p_mean, config.p_std, generator)
    keep = torch.rand(count, generator=generator) >= config.condition_dropout
    augment = draw_augmentations(count, config.augment_probability, generator)
    part = slice(rank * count // num_ranks, (rank + 1) * count // num_ranks)
    rows, shape = rows[part], faces.images.shape[1:]
    noise = [  # of its own rows alone: at full size the whole batch's costs a process 0.1 s
        torch.randn(shape, generator=torch_generator(config.seed, "generator noise", step, row))
        for row in range(count)[part]
    ]
    return Batch(
        pixels=faces.images[rows],
        noise=torch.stack(noise),
        sigma=sigma[part],
        condition=drop_conditions(one_hot(faces.labels[rows], faces.num_classes), keep[part]),
        augment=augment[part],
    )


def architecture_of(config: GeneratorConfig, faces: FaceSet) -> Architecture:
    """Joins the settings of the network with what the face set says of itself."""
    return Architecture(
        image_size=faces.manifest.image_size,
        image_channels=faces.manifest.channels,
        num_classes=faces.num_classes,
        patch_size=config.patch_size,
        channels=config.channels,
        layers_per_block=config.layers_per_block,
        attention_levels=config.attention_levels,
        dropout=config.dropout,
        sigma_data=config.sigma_data,
    )


def fit(
    denoiser: Denoiser,
    faces: FaceSet,
    config: GeneratorConfig,
    accelerator: Accelerator,
    state_path: Path,
) -> TrainingState:
    """Trains `denoiser` in place, from `state_path` if it exists; returns the final state."""
    rank, ranks = accelerator.process_index, accelerator.num_processes
    denoiser.to(accelerator.device).train()
    state = TrainingState(denoiser, config)
    if state_path.is_file():
        state.restore(state_path)
    if accelerator.device.type == "cuda":
        denoiser.compile()
    model = accelerator.prepare(denoiser)
    log_every = max(1, config.steps // _LOSS_POINTS)
    average, weights = list(state.average.values()), list(state.parameters.values())
    todo = range(state.step, config.steps)
    made = make_batches(
        lambda step: draw_batch(faces, config, step, rank, ranks).to(accelerator.device),
        todo,
        faces.images,
    )
    shown = progress(todo, "train_generator", total=config.steps, first=state.step, show=rank == 0)
    for step, batch in zip(shown, made, strict=True):
        torch.manual_seed(derive_seed(config.seed, "generator dropout", step, rank))
        loss = _add_gradients(model, batch, config, accelerator)
        accelerator.clip_grad_norm_(weights, config.max_grad_norm)
        state.set_learning_rate(learning_rate_at(step, config))
        state.update()
        update_ema(average, weights, ema_decay_at(step, config.ema_decay))
        state.step = step + 1
        state.loss_sum += accelerator.reduce(loss, reduction="mean").double()
        last = state.step == config.steps
        if state.step % log_every == 0 or last:
            state.record_loss(log_every, config.steps)
        if state.step % config.checkpoint_every == 0 and not last:
            if not math.isfinite(float(state.loss_sum)):
                state.record_loss(log_every, config.steps)  # raises, in every process
            if rank == 0:
                state.save(state_path)
    return state


def _add_gradients(
    model: nn.Module, batch: Batch, config: GeneratorConfig, accelerator: Accelerator
) -> Tensor:
    """Adds up the gradients of a batch part by part; returns its mean loss.

    Processes exchange gradients once, at the last part.
    """
    parts = batch.split(config.micro_batch_size)
    total = torch.zeros((), device=batch.sigma.device)
    for part in parts:
        last = part is parts[-1]
        with nullcontext() if last else accelerator.no_sync(model):
            clean = part.clean()
            noisy = clean + part.sigma[:, None, None, None] * part.noise
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            denoised = model(noisy, part.sigma, part.condition, part.augment)
            loss = denoising_loss(denoised, clean, part.sigma, config.sigma_data)
            loss = loss * (len(part.sigma) / len(batch.sigma))
            accelerator.backward(loss)
        total += loss.detach()
    return total


def train_generator(config: GeneratorConfig, faces: FaceSet, source: Path, out: Path) -> str | None:
    """Trains and writes the folder `out`: weights (average), description, curve, picture.

    Args:
        config: The `train_generator` section.
        faces: The training faces.
        source: The folder they came from, whose content the resume state belongs to.
        out: The folder to write.

    Returns:
        One line about the run; None on all processes but the main one.

    Raises:
        UserError: impossible settings, or a loss that is not finite.
    """
    accelerator = start_accelerator(config.precision)
    if config.batch_size % accelerator.num_processes:
        raise UserError(
            f"train_generator.batch_size is {config.batch_size}, which does not divide among "
            f"{accelerator.num_processes} processes; make it a multiple"
        )
    denoiser = build_denoiser(
        architecture_of(config, faces), derive_seed(config.seed, "generator weights")
    )
    main = accelerator.is_main_process
    with resume_folder("train_generator", config, source, is_main=main) as folder:
        accelerator.wait_for_everyone()
        state = fit(denoiser, faces, config, accelerator, folder / _STATE_NAME)
        accelerator.wait_for_everyone()
        if main:
            _write_outputs(state, denoiser, faces, config, out)
    if not main:
        return None
    count = sum(parameter.numel() for parameter in state.parameters.values())
    epochs = config.steps * config.batch_size / len(faces.images)
    return (
        f"train_generator: {out}: {count / 1e6:.2f} M weights, {config.steps} updates of "
        f"{config.batch_size} images ({epochs:.0f} epochs), "
        f"loss {state.curve[-1][1]:.4f}"
    )


@torch.no_grad()
def _write_outputs(
    state: TrainingState, denoiser: Denoiser, faces: FaceSet, config: GeneratorConfig, out: Path
) -> None:
    device = next(denoiser.parameters()).device
    final = build_denoiser(denoiser.architecture, seed=0).to(device)
    final.load_state_dict(state.average)
    final.eval()
    with atomic_directory(out) as folder:
        save_generator(folder, final)
        lines = [f"{int(step)},{loss:.6f}\n" for step, loss in state.curve]
        write_bytes(folder / "loss.csv", ("step,loss\n" + "".join(lines)).encode())
        draw_samples_sheet(final, faces, config.seed, config.precision, folder / "samples.png")
