"""What a training of the generator keeps from update to update, and on disk for a resume."""

import math
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.errors import UserError
from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.muon import Muon
from auggen.diffusion.network import Denoiser


class TrainingState:
    """Weights, their average, moments and the loss curve: all that a resume needs."""

    def __init__(self, denoiser: Denoiser, config: GeneratorConfig) -> None:
        self.parameters = dict(denoiser.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizers = _build_optimizers(self.parameters.values(), config)
        self.loss_sum = torch.zeros(
            (), dtype=torch.float64, device=denoiser.class_layer.weight.device
        )
        self.curve: list[list[float]] = []
        self.step = 0

    def save(self, path: Path) -> None:
        """Writes everything to one file, atomically."""
        tensors: dict[str, Tensor] = {"loss_sum": self.loss_sum}
        for name, parameter in self.parameters.items():
            tensors[f"model/{name}"] = parameter
            tensors[f"average/{name}"] = self.average[name]
            for key, value in self._moments_of(parameter).items():
                tensors[f"moments.{key}/{name}"] = value
        save_tensors(path, tensors, {"step": self.step, "curve": self.curve})

    @torch.no_grad()
    def restore(self, path: Path) -> None:
        """Reads what `save` wrote. Raises UserError if it is truncated or foreign."""
        tensors, meta = load_tensors(path)
        moments: dict[str, dict[str, Tensor]] = {name: {} for name in self.parameters}
        try:
            for place, tensor in tensors.items():
                kind, _, name = place.partition("/")
                if kind.startswith("moments."):
                    moments[name][kind.removeprefix("moments.")] = tensor
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"model/{name}"])
                self.average[name].copy_(tensors[f"average/{name}"])
                kept = {key: _like(tensor, parameter) for key, tensor in moments[name].items()}
                if not kept:
                    raise KeyError(f"moments/{name}")
                self._moments_of(parameter).update(kept)
            self.loss_sum.copy_(tensors["loss_sum"])
            self.step, self.curve = meta["step"], meta["curve"]
        except (KeyError, RuntimeError) as error:
            raise UserError(
                f"{path}: not the resume state of this generator ({error}); delete its folder"
            ) from error

    def set_learning_rate(self, rate: float) -> None:
        """Sets the step size of the next update."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def update(self) -> None:
        """Moves the weights along their gradients, which are then forgotten."""
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def _moments_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """Returns what its optimiser keeps of a parameter: to read, or to fill."""
        owners = (one for one in self.optimizers if _has(one, parameter))
        moments: dict[str, Tensor] = next(owners).state[parameter]
        return moments

    def record_loss(self, every: int, num_steps: int) -> None:
        """Appends the mean loss since the last point. Raises UserError if it is not finite."""
        count = (self.step - 1) % every + 1
        mean = float(self.loss_sum) / count
        if not math.isfinite(mean):
            raise UserError(
                f"train_generator: the loss is {mean} at update {self.step} of {num_steps}; "
                "lower train_generator.learning_rate, or set train_generator.precision to fp32"
            )
        self.curve.append([self.step, mean])
        self.loss_sum.zero_()


def _build_optimizers(
    parameters: Collection[nn.Parameter], config: GeneratorConfig
) -> list[torch.optim.Optimizer]:
    """Adam for everything, or Muon for weight matrices and kernels and Adam for the rest."""
    muon = config.optimizer == "muon"
    by_muon = [p for p in parameters if muon and p.ndim > 1]
    by_adam = [p for p in parameters if not (muon and p.ndim > 1)]
    adam = torch.optim.Adam(by_adam, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    return [Muon(by_muon, config.learning_rate), adam] if muon else [adam]


def _has(optimizer: torch.optim.Optimizer, parameter: Tensor) -> bool:
    return any(parameter is one for group in optimizer.param_groups for one in group["params"])


def _like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Returns a moment on the parameter's device, in its memory format if it has its shape."""
    if tensor.shape != parameter.shape:
        return tensor.to(parameter.device)
    return torch.empty_like(parameter).copy_(tensor)
