"""From rates and counts to the cost of every stage.

Times are sums of what a stage does times what one of it takes; memory is the process that has
started, plus weights, activations and pixels. Work that several devices share is cut evenly.
"""

from dataclasses import dataclass, replace
from math import ceil

from auggen.plan.data_rates import DataRates
from auggen.plan.network_rates import NetworkRates
from auggen.plan.networks import Network
from auggen.plan.settings import Settings, Sizes
from auggen.synthesis.config import Mixing

_FLOAT = 4.0
_GENERATOR_COPIES = 5
"""Weights, gradients, both moments of Adam, average."""
_RECOGNISER_COPIES = 4
"""Weights, gradients, momentum, average."""
_PIXELS_IN_MEMORY = 256_000_000
"""Larger face sets stay on disk."""
_THUMBNAIL = 256
"""Pixels of a thumbnail, by which score compares images."""
_CALLS: dict[Mixing, int] = {"condition": 1, "score": 2, "pixel": 0}
"""Network calls for a mixed person's image; one of a person drawn anew takes one."""
_SCORE_BYTES = 100.0
"""Of an image in the table of scores."""
_TRIAL_BYTES = 40
"""Of a pair of held-out images while it is evaluated."""
_KEPT_TRIAL_BYTES = 20
"""Of a pair of held-out images among the results."""


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage, or of each of several alike."""

    stage: str
    """As DVC calls it, without the seed."""
    count: int
    """How many alike there are: seeds."""
    seconds: float
    """Of one, from start to end."""
    memory_bytes: float
    """Peak of one process."""
    disk_bytes: float
    """What one leaves behind."""
    devices: int
    """Devices that one occupies."""

    @property
    def total_seconds(self) -> float:
        """Of all of them, one after another."""
        return self.count * self.seconds


@dataclass(frozen=True)
class Work:
    """All that predictions follow from."""

    settings: Settings
    sizes: Sizes
    generator: Network
    backbone: Network
    networks: NetworkRates
    data: DataRates
    devices: int


def predict_stages(work: Work) -> list[StageCost]:
    """Returns the cost of every stage of dvc.yaml, in the order in which they run."""
    seeds, data = len(work.settings.seeds), work.data
    first = data.dvc_start + data.start["unpack"]
    stages = [
        StageCost("unpack", 1, first, data.base_bytes, 0.0, 1),
        _prepare(work),
        _train_generator(work),
        _train_fr(work, "real", seeds),
        _search(work),
        _synthesize(work),
        _score(work),
        _select(work),
        _train_fr(work, "mixed", seeds),
        _evaluate(work, "real", seeds),
        _evaluate(work, "mixed", seeds),
        _compare(work),
    ]
    return [replace(stage, seconds=stage.seconds + data.dvc_stage) for stage in stages]


def _prepare(work: Work) -> StageCost:
    sizes, data = work.sizes, work.data
    seconds = data.start["prepare"] + sizes.photos * data.prepare_image
    stored = (sizes.photos + sizes.unseen_images) * data.image_bytes  # held out: small ones too
    return StageCost("prepare", 1, seconds, data.base_bytes, stored, 1)


def _train_generator(work: Work) -> StageCost:
    config, weights = work.settings.train_generator, work.generator.weights
    seconds = work.data.start["train_generator"] + work.networks.generator_once
    update = max(work.networks.generator_update, _fetching(work, config.batch_size, _real(work)))
    seconds += config.steps * update + _reading(work, _real(work))
    rows = min(config.micro_batch_size or config.batch_size, config.batch_size // work.devices)
    memory = _GENERATOR_COPIES * _FLOAT * weights + rows * work.generator.activation_bytes
    memory += work.data.base_bytes + _pixels(work, _real(work))
    return StageCost("train_generator", 1, seconds, memory, _FLOAT * weights, work.devices)


def _train_fr(work: Work, arm: str, count: int) -> StageCost:
    config, sizes, networks = work.settings.train_fr, work.sizes, work.networks
    mixed = arm == "mixed"
    images = sizes.real_images + (sizes.selected_images if mixed else 0)
    classes = sizes.real_people + (sizes.mixed_people if mixed else 0)
    stored = [sizes.real_images] + ([sizes.pool_images] if mixed and images > _real(work) else [])
    update = networks.mixed_update if mixed else networks.real_update
    update = max(update, _fetching(work, config.batch_size, sum(stored)))
    seconds = work.data.start["train_fr"] + networks.recogniser_once
    seconds += config.num_steps(images) * update + sum(_reading(work, n) for n in stored)
    head = classes * config.embedding_size
    rows = config.batch_size // work.devices
    memory = work.data.base_bytes + sum(_pixels(work, n) for n in stored)
    memory += _RECOGNISER_COPIES * _FLOAT * (work.backbone.weights + head)
    memory += rows * (work.backbone.activation_bytes + 3 * _FLOAT * classes)
    disk = _FLOAT * work.backbone.weights
    return StageCost(f"train_fr@{arm}", count, seconds, memory, disk, work.devices)


def _search(work: Work) -> StageCost:
    drawn = work.sizes.search_images
    rows = work.settings.synthesize.batch_size
    seconds = work.data.start["search"] + _drawing(work, drawn)
    for seen in (_real(work), work.sizes.unseen_images // 2, drawn):
        seconds += _embedding(work, seen, rows)
    memory = _sampling_memory(work) + _pixels(work, _real(work)) + _pixels(work, drawn)
    return StageCost("search", 1, seconds, memory, 0.0, work.devices)


def _synthesize(work: Work) -> StageCost:
    config, images = work.settings.synthesize, work.sizes.pool_images
    drawn = config.anew_images + _CALLS[config.mixing] * (images - config.anew_images)
    seconds = work.data.start["synthesize"] + _drawing(work, drawn)
    seconds += images * work.data.write_image
    if config.pair_rule != "random":
        seconds += _embedding(work, _real(work), config.batch_size)
    memory, disk = _sampling_memory(work), images * work.data.image_bytes
    if config.start_sigma:
        seconds += _reading(work, _real(work))
        memory += _pixels(work, _real(work))
    return StageCost("synthesize", 1, seconds, memory, disk, work.devices)


def _score(work: Work) -> StageCost:
    real, pool = _real(work), work.sizes.pool_images
    size = work.settings.train_fr.embedding_size
    references = real + work.sizes.real_people + work.settings.synthesize.num_classes
    pixels = 2 * real * work.settings.prepare.channels * _THUMBNAIL
    rows = work.settings.score.batch_size
    seconds = sum(_embedding(work, images, rows) for images in (real, pool))
    seconds += pool * (references * size + pixels) * work.data.compare_numbers
    seconds = work.data.start["score"] + seconds / work.devices
    memory = work.data.base_bytes + _FLOAT * work.backbone.weights + pool * _SCORE_BYTES
    return StageCost("score", 1, seconds, memory, pool * _SCORE_BYTES, work.devices)


def _select(work: Work) -> StageCost:
    pool = work.sizes.pool_images
    stored = _real(work) + (pool if work.sizes.selected_images else 0)
    memory = work.data.base_bytes + pool * _SCORE_BYTES
    disk = stored * work.data.image_bytes
    return StageCost("select", 1, work.data.start["select"], memory, disk, 1)


def _evaluate(work: Work, arm: str, count: int) -> StageCost:
    images = work.sizes.held_out_people * work.sizes.images_per_person
    seconds = work.data.start["evaluate"] + work.data.benchmarks
    seconds += 2 * _embedding(work, images, work.settings.evaluate.batch_size)
    trials = images * (images - 1) // 2 * _TRIAL_BYTES
    memory = work.data.base_bytes + _FLOAT * work.backbone.weights + trials
    return StageCost(f"evaluate@{arm}", count, seconds, memory, 0.0, 1)


def _compare(work: Work) -> StageCost:
    images = work.sizes.held_out_people * work.sizes.images_per_person
    models = 2 * len(work.settings.seeds)
    replicates = models * work.settings.compare.num_replicates
    seconds = work.data.start["compare"] + replicates * work.data.replicate
    memory = work.data.base_bytes + models * images * (images - 1) // 2 * _KEPT_TRIAL_BYTES
    return StageCost("compare", 1, seconds, memory, 0.0, 1)


def _real(work: Work) -> int:
    return work.sizes.real_images


def _pixels(work: Work, images: int) -> float:
    """Bytes of a face set in memory."""
    size = float(images * _image_pixels(work))
    return size if size <= _PIXELS_IN_MEMORY else 0.0


def _image_pixels(work: Work) -> int:
    prepared = work.settings.prepare
    return prepared.channels * prepared.image_size**2


def _reading(work: Work, images: int) -> float:
    """Seconds of reading a face set whole; one that stays on disk is read as it is used."""
    small = images * _image_pixels(work) <= _PIXELS_IN_MEMORY
    return images * work.data.read_image if small else 0.0


def _fetching(work: Work, batch: int, images: int) -> float:
    """Seconds of fetching an update's images beside it; 0 if the face sets are in memory."""
    on_disk = images * _image_pixels(work) > _PIXELS_IN_MEMORY
    return batch * work.data.read_image if on_disk else 0.0


def _drawing(work: Work, images: int) -> float:
    batches = ceil(images / work.settings.synthesize.batch_size)
    return ceil(batches / work.devices) * work.networks.draw_batch


def _embedding(work: Work, images: int, rows: int) -> float:
    """Seconds of reading and embedding; the last batch is as long as the others."""
    padded = ceil(images / rows) * rows
    return padded * work.networks.embed_image + images * work.data.read_image


def _sampling_memory(work: Work) -> float:
    """Of drawing: both networks, and a few layers' features of a batch."""
    weights = work.generator.weights + work.backbone.weights
    features = work.generator.activation_bytes / 8 * work.settings.synthesize.batch_size
    return work.data.base_bytes + _FLOAT * weights + features
