"""Settings of the generator: the `train_generator` section of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from auggen.core.devices import Precision
from auggen.core.errors import UserError
from auggen.core.params import Section

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class GeneratorConfig(Section):
    """What network is trained, on which noise levels, and for how long."""

    patch_size: PositiveInt
    """Squares of this many pixels become channels before the network (1: none): costs fall with
    its square. 2 serves small images on a CPU."""
    channels: Annotated[list[Annotated[int, Field(ge=4)]], Field(min_length=1)]
    """Feature channels at each resolution, finest first; every level halves the image."""
    layers_per_block: PositiveInt
    """Residual blocks per resolution on the way down (one more on the way up)."""
    attention_levels: Annotated[int, Field(ge=0)]
    """How many of the coarsest resolutions have self-attention (the middle block always has)."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Probability of zeroing a feature inside a residual block: less memorisation."""
    p_mean: float
    """Mean of ln(sigma) in training (EDM Table 1)."""
    p_std: PositiveFloat
    """Standard deviation of ln(sigma) in training (EDM Table 1)."""
    sigma_data: PositiveFloat
    """Standard deviation of pixels in [-1, 1] that the preconditioning assumes (EDM Table 1)."""
    condition_dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Probability of training an image on the zero condition vector (unconditional)."""
    augment_probability: Probability
    """Probability of each kind of labelled, non-leaking augmentation (EDM appendix F.2)."""
    steps: PositiveInt
    """Number of optimiser updates."""
    batch_size: PositiveInt
    """Images per update, over all processes."""
    micro_batch_size: Annotated[int, Field(ge=0)]
    """Images of it that a process computes at once, which bounds memory; the gradients of all parts
    add up. 0: all at once."""
    optimizer: Literal["adam", "muon"]
    """`adam`; `muon` (`auggen.diffusion.muon`) fits better in half as many updates."""
    learning_rate: PositiveFloat
    """Peak step size. On the pilot 0.002 suits Adam, 0.006 Muon."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """Updates in which the learning rate rises from 0; afterwards it falls to 0 along a cosine."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Per-update decay of the weight average, reached after a warm-up."""
    max_grad_norm: PositiveFloat
    """Gradients are scaled down to this norm."""
    precision: Precision
    """`auto` is bf16 where the device computes it natively, otherwise fp32."""
    checkpoint_every: PositiveInt
    """Updates between two savings of the resume state; does not change the result."""
    seed: int
    """Of the initial weights and of every batch."""

    @model_validator(mode="after")
    def _falls_after_warmup(self) -> "GeneratorConfig":
        if self.steps <= self.warmup_steps:
            raise ValueError(
                f"`warmup_steps` is {self.warmup_steps} of {self.steps} updates, so the rate would "
                "not fall; lower it"
            )
        return self


def check_levels(
    image_size: int, patch_size: int, channels: list[int], attention_levels: int
) -> None:
    """Raises UserError if images cannot be halved often enough, or more levels attend than are."""
    side = patch_size * 2 ** (len(channels) - 1)
    if image_size % side:
        raise UserError(
            f"train_generator.channels has {len(channels)} levels and patch_size is {patch_size}, "
            f"so images must be a multiple of {side} pixels, but they are {image_size}; change "
            "prepare.image_size or one of these"
        )
    if attention_levels > len(channels):
        raise UserError(
            f"train_generator.attention_levels is {attention_levels}, more than the "
            f"{len(channels)} levels of train_generator.channels; lower it"
        )
