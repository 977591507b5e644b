"""Params of the recogniser's training (`train_fr` in params.yaml)."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import model_validator

from auggen.core.devices import Precision
from auggen.core.params import Section

Probability = Annotated[float, Ge(0.0), Le(1.0)]


class AugmentConfig(Section):
    """How often each augmentation acts on an image; each field is a probability."""

    flip: Probability
    """Left-right mirror."""
    crop: Probability
    """Zoom into a random window of 60 to 100 % of the side, brought back to full size."""
    affine: Probability
    """Rotation up to 12 degrees, shift up to 8 % of the side, scale 0.9 to 1.1."""
    photometric: Probability
    """Contrast 0.6 to 1.4, brightness and a light gradient across the face, up to 0.3 and 0.4."""
    lowres: Probability
    """Reduction to 25 to 75 % of the side and back."""
    erase: Probability
    """A grey rectangle of 15 to 45 % of each side."""


class TrainConfig(Section):
    """The one recipe that real and mixed training sets share."""

    backbone: Literal["small", "ir_18", "ir_34", "ir_50", "ir_100"]
    """Network depth; the ir_* are those of the face-recognition literature, `small` is cheaper."""
    width: Annotated[int, Ge(8)]
    """Channels of the first stage; each later stage doubles them (64 in the literature)."""
    embedding_size: Annotated[int, Ge(2)]
    """Length of an embedding (512 in the literature)."""
    head: Literal["cosface", "arcface", "arcface_detached", "adaface"]
    """Margin head; see margins.py."""
    scale: Annotated[float, Gt(0)]
    """Factor s on the cosines (64 at full size)."""
    margin: Annotated[float, Ge(0), Lt(1.5)]
    """Margin m: radians for arcface, cosine for cosface, both for adaface."""
    steps: Annotated[int, Ge(0)]
    """Updates, the same for any training set; 0 if `epochs` counts instead."""
    epochs: Annotated[float, Ge(0)]
    """Passes over the training set (so a larger set gets more updates); 0 if `steps` counts."""
    batch_size: Annotated[int, Ge(2)]
    """Images per update over all processes."""
    learning_rate: Annotated[float, Gt(0)]
    """Peak rate of SGD with Nesterov momentum; cosine decay to zero."""
    momentum: Annotated[float, Ge(0), Lt(1)]
    """Momentum of SGD."""
    weight_decay: Annotated[float, Ge(0)]
    """L2 decay of weights; norms, biases and PReLU slopes are spared."""
    warmup_steps: Annotated[int, Ge(0)]
    """Updates over which the rate rises from zero."""
    dropout: Annotated[float, Ge(0), Lt(1)]
    """Dropout before the embedding layer."""
    ema_decay: Annotated[float, Ge(0), Lt(1)]
    """Decay of the running average of the weights that is kept as the model; 0 keeps the last."""
    augment: AugmentConfig
    """Augmentation of every training image, real or synthetic."""
    precision: Precision
    """Arithmetic of the forward pass: fp32, bf16, or auto (bf16 where the hardware has it)."""
    checkpoint_every: Annotated[int, Ge(1)]
    """Updates between two saves of the resume state."""

    @model_validator(mode="after")
    def _one_length(self) -> "TrainConfig":
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError("set exactly one of `steps` and `epochs` above 0")
        if 0 < self.steps <= self.warmup_steps:
            raise ValueError(
                f"`warmup_steps` is {self.warmup_steps} of {self.steps} updates, so the rate would "
                "not fall; lower it"
            )
        return self

    def num_steps(self, num_images: int) -> int:
        """Returns the number of updates for a training set of `num_images`."""
        return self.steps or max(1, round(self.epochs * num_images / self.batch_size))
