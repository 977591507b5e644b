"""Params of the sections `search` and `synthesize`."""

from typing import Annotated, Literal

from annotated_types import Gt, MinLen
from pydantic import Field, model_validator

from auggen.core.params import Section
from auggen.diffusion.samplers import SamplerConfig

Mixing = Literal["condition", "score", "pixel"]
PairRule = Literal["random", "distant", "close"]
Weight = Annotated[float, Gt(0), Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]


class SearchConfig(Section):
    """How the weights (alpha, beta) of c_star = alpha * c_i + beta * c_j are found.

    They are judged on images drawn from noise alone, as in the paper, whatever
    `synthesize.start_sigma` is: what a photograph lends is not in m_s, m_d and the rejection.
    """

    mode: Literal["grid", "fixed"]
    """grid: judge every point; fixed: take `alpha` and `beta` as they are."""
    alpha: Weight
    """Weight of the first source if `mode` is fixed."""
    beta: Weight
    """Weight of the second source if `mode` is fixed."""
    grid: Annotated[list[Weight], MinLen(1)]
    """Values of either weight (the paper: 0.1 to 1.1); (a, b) and (b, a) are one point."""
    num_pairs: Count
    """Random source pairs that every point is judged on."""
    images_per_pair: Annotated[int, Field(ge=2)]
    """Images of each pair; m_s compares them with one another."""
    seed: int
    """Seed of pairs and noise, the same at every point."""


class SynthesizeConfig(Section):
    """What the pool of mixed identities, and of real ones drawn anew, holds."""

    mixing: Mixing
    """condition: AugGen; score: ScoreMix; pixel: the mean of two photographs, without the generator
    (the classical control)."""
    pair_rule: PairRule
    """How source pairs are drawn; distant and close by cosine of M_orig's class centres."""
    num_classes: CountOrZero
    """Mixed identities; more of them extend the same list."""
    images_per_class: Count
    """Images of each mixed identity."""
    anew_images: CountOrZero
    """Images of the training people drawn anew (D_repro), shared out evenly among them."""
    start_sigma: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Noise level at which drawing starts, from a training photograph of anyone under that much
    noise (SDEdit, arXiv 2108.01073): it lends pose and light, the condition says who it is. 0:
    from noise alone at `sampler.sigma_max`. Mixing `pixel` draws without it."""
    batch_size: Count
    """Rows of every network call; part of the recipe, for other sizes change last bits."""
    seed: int
    """Seed of pairs, noise and the photographs that drawing starts from."""
    sampler: SamplerConfig
    """Solver and its steps."""

    @model_validator(mode="after")
    def _start_is_a_level_of_the_sampler(self) -> "SynthesizeConfig":
        low, high = self.sampler.sigma_min, self.sampler.sigma_max
        if self.start_sigma and not low < self.start_sigma <= high:
            raise ValueError(
                f"start_sigma {self.start_sigma:g} must be 0 (from noise alone) or between "
                f"sampler.sigma_min {low:g} and sampler.sigma_max {high:g}"
            )
        return self
