"""What an arm costs, counted from its params."""

from typing import Any

from auggen.diffusion.samplers import SamplerConfig
from studies.config import Experiment, Model

_NETWORKS = {"condition": 1, "score": 2}
"""Generator calls of one evaluation of the denoiser, by mixing; others need no generator."""


def evaluations_per_image(params: dict[str, Any]) -> int:
    """Returns the generator's evaluations for one image of a mix: solver, mixing, guidance."""
    sampler = SamplerConfig.model_validate(params["synthesize"]["sampler"])
    calls = sampler.num_steps if sampler.kind == "dpmpp" else 2 * sampler.num_steps - 1
    guided = 1 if sampler.guidance == 1.0 else 2
    return calls * guided * _NETWORKS.get(params["synthesize"]["mixing"], 0)


def count_compute(experiment: Experiment, model: Model) -> dict[str, int]:
    """Returns recogniser updates of one model, and evaluations an image and for the pool.

    Updates are 0 where `train_fr.epochs` counts instead. A person drawn anew needs one network
    call where a mix of scores needs two.
    """
    settings = experiment.params["synthesize"]
    each = evaluations_per_image(experiment.params) if model == "mixed" else 0
    mixes = settings["num_classes"] * settings["images_per_class"]
    once = each // max(1, _NETWORKS.get(settings["mixing"], 0))
    return {
        "recogniser_updates": experiment.params["train_fr"]["steps"],
        "evaluations_per_image": each,
        "evaluations": each * mixes + once * settings["anew_images"],
    }
