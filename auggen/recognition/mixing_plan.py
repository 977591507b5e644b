"""How synthetic images enter a training: written by selection, obeyed by training.

The plan travels with the data, not with the recogniser's params, so that no setting that acts on
synthetic images alone ever retrains a real-only model.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from auggen.core.params import Section

Schedule = Literal["constant", "ramp_up", "ramp_down", "switch_over"]
BatchShare = Literal["proportional"] | Annotated[float, Ge(0.0), Lt(1.0)]


class MixingPlan(Section):
    """Settings that act on synthetic rows only."""

    mix_ratio: Annotated[float, Ge(0)]
    """Selected images of mixed people / real images."""
    anew_ratio: Annotated[float, Ge(0)]
    """Images of real people drawn anew / real images, as asked: near-copies are left out."""
    rule: str
    """Selection rule that chose them."""
    num_classes: Annotated[int, Ge(0)]
    """Mixed classes chosen."""
    num_images: Annotated[int, Ge(0)]
    """Synthetic images chosen, of mixed people and of real ones drawn anew."""
    batch_share: BatchShare
    """Synthetic fraction of a batch before the schedule; `proportional` = by image count."""
    schedule: Schedule
    """constant; ramp_up 0 -> share; ramp_down share -> 0; switch_over share -> 0 at `switch_at`."""
    switch_at: Annotated[float, Ge(0), Le(1)]
    """Fraction of the training at which switch_over drops the synthetic images."""
    compete_with_sources: bool
    """False takes from a sample's softmax every class that shares a source with its own class."""
    margin_scale: Annotated[float, Ge(0), Le(2)]
    """Factor on the margin of mixed classes."""
    loss_weight: Annotated[float, Gt(0)]
    """Weight of a synthetic image in the loss; a real image weighs 1."""

    def share_at(self, progress: float, num_real: int) -> float:
        """Returns the synthetic fraction of a batch at training progress in [0, 1)."""
        if self.num_images == 0:
            return 0.0
        share = self.batch_share
        if share == "proportional":
            share = self.num_images / (self.num_images + num_real)
        factor = {
            "constant": 1.0,
            "ramp_up": progress,
            "ramp_down": 1.0 - progress,
            "switch_over": 1.0 if progress < self.switch_at else 0.0,
        }
        return share * factor[self.schedule]
