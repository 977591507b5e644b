"""Params of the sections `score` and `select`, and of the top-level `mix_ratio`."""

from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import Field

from auggen.core.params import Section
from auggen.recognition.mixing_plan import BatchShare, Schedule
from auggen.selection.rules import Rule

MixRatio = Annotated[float, Ge(0), Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class ScoreConfig(Section):
    """How the pool is judged."""

    batch_size: Count
    """Rows of every call of M_orig; other sizes change last bits."""


class SelectConfig(Section):
    """Which pool images enter the training, and how."""

    rule: Rule
    """What is preferred; see `auggen.selection.rules`."""
    images_per_class: Count
    """Images of each chosen mix: a larger mix_ratio adds mixed identities, never images to one."""
    anew_ratio: Annotated[float, Ge(0), Field(allow_inf_nan=False)]
    """Images of the training people drawn anew / real images, beside those of `mix_ratio`."""
    max_real_similarity: Annotated[float, Gt(-1), Le(1)]
    """Images whose cosine to a real image exceeds this are near-copies and dropped."""
    batch_share: BatchShare
    """Synthetic fraction of a batch, before the schedule; `proportional` = by image count."""
    schedule: Schedule
    """When in training synthetic images enter."""
    switch_at: Annotated[float, Ge(0), Le(1)]
    """Fraction of the training at which schedule switch_over drops them."""
    compete_with_sources: bool
    """False keeps a mixed class from competing with its sources in the softmax."""
    margin_scale: Annotated[float, Ge(0), Le(2)]
    """Factor on the margin of mixed classes."""
    loss_weight: Annotated[float, Gt(0), Field(allow_inf_nan=False)]
    """Weight of a synthetic image in the loss; a real image weighs 1."""
    seed: int
    """Of rule `random`."""
