"""What the networks cost: measured here, or scaled by arithmetic from smaller ones.

Networks are timed through the library's own training functions, so that whatever an update does is
in its time.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from auggen.core.devices import start_accelerator
from auggen.core.errors import UserError
from auggen.diffusion.checkpoint import load_generator
from auggen.diffusion.training import train_generator
from auggen.faces.shards import read_face_set
from auggen.measures.embeddings import embed_images
from auggen.plan.clock import time_call, time_updates
from auggen.plan.networks import Network, describe_backbone, describe_generator, network_calls
from auggen.plan.samples import draw_faces, write_training_folders
from auggen.plan.settings import Settings, Sizes
from auggen.recognition.checkpoint import load_recogniser
from auggen.recognition.training import train_recogniser
from auggen.recognition.training_data import read_training_data
from auggen.synthesis.generation import Generator, Recipe, draw_batch

_FACES = 64
_NEVER = 1 << 40
_MOST_FLOPS = 1e13
"""Arithmetic of one update beyond which measuring on a processor takes minutes an update."""


@dataclass(frozen=True)
class NetworkRates:
    """Seconds, with the batch of one of the devices."""

    generator_once: float
    """Of a generator training besides its updates: building, saving, the picture of samples."""
    generator_update: float
    """Of an update."""
    draw_batch: float
    """Of drawing a batch, an image by one condition."""
    recogniser_once: float
    """Of a recogniser training besides its updates."""
    real_update: float
    """Of an update on real people."""
    mixed_update: float
    """Of an update on real and mixed people."""
    embed_image: float
    """Of an image and its mirror image."""


def measure_networks(settings: Settings, sizes: Sizes, devices: int, folder: Path) -> NetworkRates:
    """Trains and samples for a few seconds each, at the real sizes of networks and batches.

    Args:
        settings: the params.
        sizes: the counts that follow.
        devices: into how many parts a batch is cut; one of them is measured.
        folder: for made-up data and models.

    Raises:
        UserError: an update is far too large for a processor, or a batch does not divide.
    """
    generator, backbone = describe_generator(settings, sizes), describe_backbone(settings)
    flops = generator.training_flops * settings.train_generator.batch_size
    flops = max(flops, backbone.training_flops * settings.train_fr.batch_size) / devices
    if flops > _MOST_FLOPS and not torch.cuda.is_available():
        raise UserError(
            f"an update takes {flops / 1e12:,.0f} TFLOP: hopeless to measure on a processor; run "
            "this on a machine with a CUDA GPU, or say --scale-from params.yaml"
        )
    for name, size in (
        ("train_generator", settings.train_generator.batch_size),
        ("train_fr", settings.train_fr.batch_size),
    ):
        if size % devices:
            raise UserError(f"{name}.batch_size is {size}: make it a multiple of {devices} devices")
    faces = draw_faces(_FACES, settings.prepare.channels, settings.prepare.image_size)
    real, mixed = folder / "real", folder / "mixed"
    write_training_folders(real, mixed, faces, settings, sizes)
    generator_once, generator_update = _time_generator(settings, devices, real, folder / "g")
    recogniser_once, real_update = _time_recogniser(settings, devices, real, folder / "r")
    return NetworkRates(
        generator_once=generator_once,
        generator_update=generator_update,
        draw_batch=_time_drawing(settings, sizes, folder / "g"),
        recogniser_once=recogniser_once,
        real_update=real_update,
        mixed_update=_time_recogniser(settings, devices, mixed, folder / "m")[1],
        embed_image=_time_embedding(settings, faces, folder / "r"),
    )


def _forget_compiled() -> None:
    """After compiling eight networks in one process, torch would run the next ones uncompiled."""
    if torch.cuda.is_available():
        torch._dynamo.reset()


def _time_generator(settings: Settings, devices: int, real: Path, out: Path) -> tuple[float, float]:
    faces = read_face_set(real)
    config = settings.train_generator
    part = {"batch_size": config.batch_size // devices, "checkpoint_every": _NEVER}

    def train(steps: int) -> None:
        _forget_compiled()
        train_generator(config.model_copy(update=part | {"steps": steps}), faces, real, out)

    return time_updates(train)


def _time_recogniser(
    settings: Settings, devices: int, data_dir: Path, out: Path
) -> tuple[float, float]:
    data = read_training_data(data_dir)
    config = settings.train_fr
    part = {"batch_size": config.batch_size // devices, "checkpoint_every": _NEVER, "epochs": 0.0}

    def train(steps: int) -> None:
        _forget_compiled()
        train_recogniser(data, config.model_copy(update=part | {"steps": steps}), 0, out, data_dir)

    return time_updates(train)


def _time_drawing(settings: Settings, sizes: Sizes, generator_dir: Path) -> float:
    config = settings.synthesize
    device = start_accelerator(config.sampler.precision).device
    network = load_generator(generator_dir).to(device)
    if device.type == "cuda":
        network.compile()
    shape = (network.channels, network.image_size, network.image_size)
    generator = Generator(
        network,
        network.num_classes,
        shape,
        "condition",
        config.batch_size,
        config.sampler,
        device,
    )
    number = torch.arange(config.batch_size)
    half = torch.full((config.batch_size,), 0.5)
    recipe = Recipe(
        number % sizes.real_people, (number + 1) % sizes.real_people, half, half, number
    )
    return time_call(lambda: draw_batch(generator, recipe))


def _time_embedding(settings: Settings, faces: Tensor, recogniser_dir: Path) -> float:
    size = settings.score.batch_size
    device = start_accelerator("fp32").device
    model = load_recogniser(recogniser_dir).to(device)
    images = faces[torch.arange(size) % len(faces)]
    seconds = time_call(
        lambda: embed_images(model, images, batch_size=size, flip=True, device=device)
    )
    return seconds / size


def scale_rates(
    rates: NetworkRates,
    base: tuple[Settings, Sizes],
    target: tuple[Settings, Sizes],
    devices: int,
) -> NetworkRates:
    """Predicts the rates of other networks: seconds in proportion to arithmetic.

    An extrapolation: it takes the measured networks' arithmetic a second for the others' too, and
    devices that work side by side without waiting for one another. Larger networks usually reach
    more arithmetic a second, so it errs towards too long.

    Args:
        rates: measured with the whole batch of `base` on one device.
        base: the measured params and counts.
        target: the params and counts asked about.
        devices: among which the batch of the target is shared.
    """
    generators: list[Network] = [describe_generator(*pair) for pair in (base, target)]
    backbones: list[Network] = [describe_backbone(pair[0]) for pair in (base, target)]
    generating = generators[1].training_flops / generators[0].training_flops
    recognising = backbones[1].training_flops / backbones[0].training_flops
    (first, _), (second, _) = base, target
    generator_batch = second.train_generator.batch_size / first.train_generator.batch_size / devices
    recogniser_batch = second.train_fr.batch_size / first.train_fr.batch_size / devices
    calls = network_calls(second) * second.synthesize.batch_size
    drawing = calls / (network_calls(first) * first.synthesize.batch_size)
    return NetworkRates(
        generator_once=rates.generator_once * generating,
        generator_update=rates.generator_update * generating * generator_batch,
        draw_batch=rates.draw_batch * generating * drawing,
        recogniser_once=rates.recogniser_once * recognising,
        real_update=rates.real_update * recognising * recogniser_batch,
        mixed_update=rates.mixed_update * recognising * recogniser_batch,
        embed_image=rates.embed_image * recognising,
    )
