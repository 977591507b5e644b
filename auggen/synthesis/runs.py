"""Search and synthesis from files to files: models loaded, all processes put to work."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from jaxtyping import Float
from torch import Tensor

from auggen.core.devices import start_accelerator
from auggen.core.errors import UserError
from auggen.core.files import atomic_directory, digest_files
from auggen.diffusion.checkpoint import load_generator
from auggen.diffusion.samplers import SamplerConfig
from auggen.faces.manifest import Manifest, read_manifest
from auggen.faces.shards import FaceSet, read_face_set
from auggen.measures.embeddings import Images, embed_images, normalise
from auggen.measures.identity import class_centres
from auggen.recognition.checkpoint import load_recogniser
from auggen.synthesis.config import Mixing, SearchConfig, SynthesizeConfig
from auggen.synthesis.generation import Generator, Recipe, draw_batch, drawn_images
from auggen.synthesis.pixels import mix_photographs
from auggen.synthesis.pool import choose_sources, name_classes, plan_pool, write_pool
from auggen.synthesis.search import meet_people, plan_search, search_mixing_weights, search_pairs
from auggen.synthesis.search_files import read_weights, write_search


@dataclass(frozen=True)
class Models:
    """The generator G and the recogniser M_orig, and the training people they know."""

    real_dir: Path
    """Face set of the training people."""
    generator_dir: Path
    """Trained generator."""
    recogniser_dir: Path
    """M_orig."""

    def check(self) -> Manifest:
        """Loads both models and returns the training people's manifest.

        Raises:
            UserError: a file is missing or broken, or the generator knows other people.
        """
        manifest = read_manifest(self.real_dir)
        load_recogniser(self.recogniser_dir)
        network = load_generator(self.generator_dir)
        asked = (manifest.num_classes, manifest.channels, manifest.image_size)
        found = (network.num_classes, network.channels, network.image_size)
        if asked != found:
            raise UserError(
                f"{self.generator_dir}: draws {found} (classes, channels, pixels), but "
                f"{self.real_dir} holds {asked}; train it on these data (`dvc repro`)"
            )
        return manifest

    def embedder(self, batch_size: int, device: torch.device) -> Callable[[Images], Tensor]:
        """Returns M_orig as a function uint8 [n c h w] -> embeddings [n d]."""
        model = load_recogniser(self.recogniser_dir).to(device)
        return lambda images: embed_images(
            model, images, batch_size=batch_size, flip=True, device=device
        )

    def generator(
        self, mixing: Mixing, batch_size: int, sampler: SamplerConfig, accelerator: Accelerator
    ) -> Generator:
        """Returns the generator on this process's device, compiled if that is a GPU."""
        device = accelerator.device
        network = load_generator(self.generator_dir).to(device)
        if device.type == "cuda":  # not yet measured
            network.compile()
        shape = (network.channels, network.image_size, network.image_size)
        return Generator(network, network.num_classes, shape, mixing, batch_size, sampler, device)

    def drawer(
        self, config: SynthesizeConfig, accelerator: Accelerator
    ) -> Callable[[Recipe], Tensor]:
        """Returns what draws the images of at most `batch_size` rows of a recipe."""
        if config.mixing == "pixel":
            return partial(mix_photographs, read_face_set(self.real_dir))
        generator = self.generator(config.mixing, config.batch_size, config.sampler, accelerator)
        if config.start_sigma:
            sampler = config.sampler.model_copy(update={"sigma_max": config.start_sigma})
            photographs = read_face_set(self.real_dir).images
            generator = replace(generator, sampler=sampler, photographs=photographs)
        return partial(draw_batch, generator)


def run_search(
    models: Models,
    validation_dir: Path,
    out: Path,
    config: SearchConfig,
    batch_size: int,
    sampler: SamplerConfig,
) -> str:
    """Judges the grid and writes the search folder; returns a line about it, "" off rank 0.

    Raises:
        UserError: impossible params, broken inputs, or no grid point that is any good.
    """
    manifest = models.check()
    pairs = search_pairs(config, manifest.num_classes)
    recipe = plan_search(config, pairs)
    accelerator = start_accelerator(sampler.precision)
    generator = models.generator("condition", batch_size, sampler, accelerator)
    key = (config, batch_size, sampler)
    inputs = (models.real_dir, models.generator_dir)
    draw = partial(draw_batch, generator)
    with drawn_images(draw, batch_size, recipe, accelerator, "search", key, *inputs) as drawn:
        if not accelerator.is_main_process:
            return ""
        real, held_out = read_face_set(models.real_dir), read_face_set(validation_dir)
        embed = models.embedder(batch_size, accelerator.device)
        people = meet_people(embed, real.images, real.labels, real.num_classes, held_out.images)
        images = torch.stack(list(drawn))
        result = search_mixing_weights(config, people, pairs, images, embed)
        with atomic_directory(out) as folder:
            pictures = [
                [_portrait(real, i), _portrait(real, j), *mixes]
                for (i, j), mixes in zip(pairs.tolist(), result.pictures, strict=True)
            ]
            write_search(folder, config, result, pictures)
    rejected = int(result.grid["rejected"].sum())
    edge = {min(config.grid), max(config.grid)} & {result.alpha, result.beta}
    where = ", at the edge of `search.grid`" if config.mode == "grid" and edge else ""
    return (
        f"alpha {result.alpha:g}, beta {result.beta:g}{where} ({config.mode}; {len(result.grid)} "
        f"points, {rejected} rejected, "
        f"m_total {result.grid['m_total'][result.grid['chosen']].item():.3f})"
    )


def run_synthesis(models: Models, search_dir: Path, out: Path, config: SynthesizeConfig) -> str:
    """Draws the pool and writes it as a face set; returns a line about it, "" off rank 0.

    Raises:
        UserError: impossible params or broken inputs.
    """
    manifest = models.check()
    weights = read_weights(search_dir)
    accelerator = start_accelerator(config.sampler.precision)
    sources = [
        choose_sources(
            config, manifest.num_classes, lambda: _centres(models, config, accelerator.device)
        )
    ]
    if accelerator.num_processes > 1:
        broadcast_object_list(sources)  # unlike devices may round similarities apart
    name_classes(sources[0], manifest)  # a name that is taken is known before any image is drawn
    recipe = plan_pool(config, sources[0], weights.alpha, weights.beta)
    draw = models.drawer(config, accelerator)
    inputs = (models.real_dir, models.generator_dir, models.recogniser_dir, search_dir)
    key = ("synthesize", config)
    with drawn_images(draw, config.batch_size, recipe, accelerator, *key, *inputs) as drawn:
        if not accelerator.is_main_process:
            return ""
        digest = digest_files(models.generator_dir)
        with atomic_directory(out) as folder:
            write_pool(folder, drawn, recipe, sources[0], config, manifest, digest)
    return (
        f"{len(recipe)} images of {len(sources[0])} identities (mixing {config.mixing}, "
        f"alpha {recipe.alpha[0].item():g}, beta {recipe.beta[0].item():g})"
    )


def _portrait(faces: FaceSet, identity: int) -> Tensor:
    """Returns the first image of an identity."""
    return faces.images[int((faces.labels == identity).nonzero()[0])]


def _centres(
    models: Models, config: SynthesizeConfig, device: torch.device
) -> Float[Tensor, "k d"]:
    """Returns the training people's class centres in M_orig's space."""
    real = read_face_set(models.real_dir)
    embeddings = models.embedder(config.batch_size, device)(real.images)
    return class_centres(normalise(embeddings), real.labels, real.num_classes)
