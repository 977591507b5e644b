"""Training a face recogniser with a margin softmax on real or mixed data."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from auggen.core.checkpoints import load_tensors, resume_folder, save_tensors
from auggen.core.devices import start_accelerator, to_device
from auggen.core.ema import ema_decay_at, update_ema
from auggen.core.errors import UserError
from auggen.core.files import atomic_directory, write_bytes
from auggen.core.progress import progress
from auggen.core.seeds import derive_seed, torch_generator
from auggen.faces.images import make_batches
from auggen.recognition.augmentation import augment, draw_augmentation
from auggen.recognition.backbones import Backbone, build_backbone
from auggen.recognition.checkpoint import save_recogniser
from auggen.recognition.config import TrainConfig
from auggen.recognition.margins import MarginHead, shares_source
from auggen.recognition.training_data import BatchPlan, TrainingData

_LOSS_EVERY = 20


class Recogniser(nn.Module):
    """Backbone and margin head in one module, so that every parameter is under one wrapper."""

    def __init__(self, backbone: Backbone, head: MarginHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(
        self,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        margin: Float[Tensor, " n"],
        excluded: Bool[Tensor, "n k"] | None,
    ) -> Float[Tensor, " n"]:
        """Returns each row's cross entropy."""
        logits = self.head(self.backbone(images), labels, margin, excluded)
        return F.cross_entropy(logits, labels, reduction="none")


def learning_rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Returns the rate at a step as a fraction of its peak: linear warm-up, then cosine to zero."""
    warm = min(1.0, (step + 1) / (warmup_steps + 1))
    angle = torch.tensor(torch.pi * step / steps, dtype=torch.float64)
    return warm * 0.5 * (1.0 + float(angle.cos()))


def build_recogniser(
    config: TrainConfig, data: TrainingData, seed: int
) -> tuple[Recogniser, dict[str, object]]:
    """Returns a fresh model and its backbone's description.

    Backbone and real classes start the same whether or not mixed classes follow.
    """
    architecture: dict[str, object] = {
        "kind": config.backbone,
        "channels": data.images.shape[1],
        "image_size": data.images.shape[2],
        "width": config.width,
        "embedding_size": config.embedding_size,
        "dropout": config.dropout,
    }
    backbone = build_backbone(
        config.backbone,
        channels=data.images.shape[1],
        image_size=data.images.shape[2],
        width=config.width,
        embedding_size=config.embedding_size,
        dropout=config.dropout,
        seed=derive_seed(seed, "backbone"),
    )
    num_mixed = data.num_classes - data.num_real_classes
    weight = [
        torch.randn(num, config.embedding_size, generator=torch_generator(seed, "head", kind))
        for kind, num in (("real", data.num_real_classes), ("mixed", num_mixed))
    ]
    return Recogniser(backbone, MarginHead(config.head, torch.cat(weight), config.scale)), (
        architecture
    )


def _optimizer(model: Recogniser, config: TrainConfig) -> torch.optim.SGD:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.SGD(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=True,
    )


@dataclass
class _Batch:
    """One process's part of a batch, on its device."""

    images: Tensor
    labels: Tensor
    margin: Tensor
    excluded: Tensor | None
    weight: Tensor
    """Loss weights that sum to the number of processes over the whole batch."""


class _Batches:
    """Makes the batch of a step: the global draw first, then this process's slice of it."""

    def __init__(
        self, data: TrainingData, config: TrainConfig, seed: int, steps: int, rank: int, world: int
    ) -> None:
        if config.batch_size % world or config.batch_size < 2 * world:
            raise UserError(
                f"train_fr.batch_size is {config.batch_size}: make it a multiple of the "
                f"{world} processes, with two images or more for each"
            )
        self._data, self._config, self._seed = data, config, seed
        self._sources = data.sources
        self._plan = BatchPlan(data, seed=seed, steps=steps, batch_size=config.batch_size)
        self._part = slice(rank, None, world)  # each process gets its share of synthetic rows
        self._world = world

    def make(self, step: int, device: torch.device) -> _Batch:
        data, config, plan = self._data, self._config, self._data.plan
        rows = self._plan.rows(step)
        draws = draw_augmentation(len(rows), torch_generator(self._seed, "augment", step))
        synthetic = rows >= data.num_real
        weight = torch.where(synthetic, plan.loss_weight if plan else 1.0, 1.0)
        weight = weight / weight.sum() * self._world
        rows, draws, weight = rows[self._part], draws[self._part], weight[self._part]
        labels = data.labels[rows]
        mixed = labels >= data.num_real_classes
        margin = config.margin * torch.where(mixed, plan.margin_scale if plan else 1.0, 1.0)
        excluded = None
        if plan and not plan.compete_with_sources:
            self._sources = self._sources.to(device)
            excluded = shares_source(to_device(labels, device), self._sources)
        pixels = to_device(data.images[rows], device).float() / 127.5 - 1.0
        images = augment(pixels, to_device(draws, device), config.augment)
        return _Batch(
            images.to(memory_format=torch.channels_last),
            to_device(labels, device),
            to_device(margin, device),
            excluded,
            to_device(weight, device),
        )


def _state(
    model: Recogniser, average: dict[str, Tensor], optimizer: torch.optim.SGD
) -> dict[str, Tensor]:
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state |= {f"average.{name}": value for name, value in average.items()}
    for name, parameter in model.named_parameters():
        buffer = optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            state[f"momentum.{name}"] = buffer
    return state


@torch.no_grad()
def _restore(
    tensors: dict[str, Tensor],
    model: Recogniser,
    average: dict[str, Tensor],
    optimizer: torch.optim.SGD,
) -> None:
    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    model.load_state_dict(part("model."))
    for name, value in part("average.").items():
        average[name].copy_(value)
    momentum = part("momentum.")
    for name, parameter in model.named_parameters():
        if name in momentum:
            # In the parameter's own memory layout: the fused update walks both as they lie.
            buffer = torch.empty_like(parameter).copy_(momentum[name])
            optimizer.state[parameter]["momentum_buffer"] = buffer


def train_recogniser(
    data: TrainingData, config: TrainConfig, seed: int, out: Path, inputs: Path
) -> dict[str, float]:
    """Trains a recogniser and writes `out` (model.safetensors, loss.csv), whole or not at all.

    Args:
        data: what `read_training_data(inputs)` returned.
        config: the recipe.
        seed: decides initial weights, batches and augmentation.
        out: folder to write.
        inputs: training folder; its contents key the resume state.

    Returns:
        `loss` (last), `steps`, `num_images`, `num_classes`; nothing on all processes but the main.

    Raises:
        UserError: the loss is not finite, or the batch does not divide among the processes.
    """
    accelerator = start_accelerator(config.precision)
    steps = config.num_steps(len(data.labels))
    bare, architecture = build_recogniser(config, data, seed)
    on_gpu = accelerator.device.type == "cuda"
    if on_gpu and accelerator.num_processes > 1:
        bare = nn.SyncBatchNorm.convert_sync_batchnorm(bare)  # type: ignore[no-untyped-call]
    bare = bare.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    optimizer = _optimizer(bare, config)
    average = {k: v.clone() for k, v in bare.backbone.state_dict().items()}
    batches = _Batches(
        data, config, seed, steps, accelerator.process_index, accelerator.num_processes
    )
    if on_gpu and accelerator.num_processes == 1:  # synchronised batch norm cuts the graph up
        bare.compile()
    model = accelerator.prepare_model(bare)
    key = (config.model_dump(), seed)
    main = accelerator.is_main_process
    with resume_folder("train_fr", key, inputs, is_main=main) as folder:
        accelerator.wait_for_everyone()
        first, losses = 0, []
        state_path = folder / "state.safetensors"
        if state_path.is_file():
            tensors, meta = load_tensors(state_path)
            _restore(tensors, bare, average, optimizer)
            first, losses = meta["step"], meta["losses"]
        model.train()
        todo = range(first, steps)
        made = make_batches(lambda step: batches.make(step, accelerator.device), todo, data.images)
        shown = progress(todo, f"train_fr seed {seed}", total=steps, first=first, show=main)
        for step, batch in zip(shown, made, strict=True):
            factor = learning_rate_factor(step, steps, config.warmup_steps)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            torch.manual_seed(derive_seed(seed, "dropout", step, accelerator.process_index))
            rows = model(batch.images, batch.labels, batch.margin, batch.excluded)
            loss = (rows * batch.weight).sum()
            optimizer.zero_grad(set_to_none=True)
            accelerator.backward(loss)
            optimizer.step()
            _update_average(average, bare.backbone, config.ema_decay, step)
            if (step + 1) % _LOSS_EVERY == 0 or step + 1 == steps:
                value = float(accelerator.reduce(loss.detach(), reduction="mean"))
                if value != value or value in (float("inf"), float("-inf")):
                    raise UserError(
                        f"train_fr: the loss is {value} at step {step + 1}; lower "
                        f"train_fr.learning_rate ({config.learning_rate}) or use precision fp32"
                    )
                losses.append((step + 1, value))
            if main and (step + 1) % config.checkpoint_every == 0 and step + 1 < steps:
                meta = {"step": step + 1, "losses": losses}
                save_tensors(state_path, _state(bare, average, optimizer), meta)
        accelerator.wait_for_everyone()
        if main:
            bare.backbone.load_state_dict(average)
            with atomic_directory(out) as partial:
                save_recogniser(partial, bare.backbone, architecture)
                lines = ["step,loss", *(f"{step},{value:.5f}" for step, value in losses)]
                write_bytes(partial / "loss.csv", ("\n".join(lines) + "\n").encode())
    if not main:
        return {}
    return {
        "loss": losses[-1][1],
        "steps": steps,
        "num_images": len(data.labels),
        "num_classes": data.num_classes,
    }


@torch.no_grad()
def _update_average(
    average: dict[str, Tensor], backbone: Backbone, decay: float, step: int
) -> None:
    """Moves the running average towards the weights; counts of batches are copied."""
    state = backbone.state_dict()
    real = [name for name, value in state.items() if value.is_floating_point()]
    update_ema([average[k] for k in real], [state[k] for k in real], ema_decay_at(step, decay))
    for name in state.keys() - set(real):
        average[name].copy_(state[name])
