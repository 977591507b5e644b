"""How well a generator predicts photographs it did not learn: to choose its length and optimiser.

`python -m benchmarks.held_out_loss --set steps=3200 --set optimizer=adam` trains on all but every
fifth photograph of each person in data/train/real, one thread, and prints the EDM loss on the
rest. Nobody outside the training people is looked at. Judge it together with samples.png.
"""

import argparse
import time
from pathlib import Path

import torch
import yaml
from torch import Tensor

from auggen.core.devices import start_accelerator
from auggen.core.params import load_params
from auggen.core.seeds import derive_seed, torch_generator
from auggen.diffusion.conditioning import one_hot
from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.edm import denoising_loss
from auggen.diffusion.network import Denoiser, build_denoiser
from auggen.diffusion.training import architecture_of, fit
from auggen.faces.decode import to_unit
from auggen.faces.shards import FaceSet, read_face_set

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_EVERY = 5
_DRAWS = 4


def split_photographs(faces: FaceSet) -> tuple[FaceSet, FaceSet]:
    """Returns all but every fifth photograph of each person, and these."""
    seen: dict[int, int] = {}
    held = []
    for label in faces.labels.tolist():
        seen[label] = seen.get(label, 0) + 1
        held.append(seen[label] % _EVERY == 0)
    mask = torch.tensor(held)
    return _rows(faces, ~mask), _rows(faces, mask)


def _rows(faces: FaceSet, mask: Tensor) -> FaceSet:
    rows = mask.nonzero()[:, 0]
    paths = [faces.paths[row] for row in rows.tolist()]
    extra = faces.extra.iloc[rows.tolist()]
    return FaceSet(faces.images[rows], faces.labels[rows], paths, extra, faces.manifest)


@torch.no_grad()
def losses_of(denoiser: Denoiser, faces: FaceSet, sigma_data: float) -> list[float]:
    """Returns the EDM loss at each noise level of `SIGMAS`, a mean over four draws of noise."""
    images = to_unit(faces.images[torch.arange(len(faces.labels))])
    condition = one_hot(faces.labels, faces.num_classes)
    losses = []
    for level in SIGMAS:
        sigma = images.new_full((len(images),), level)
        drawn = []
        for draw in range(_DRAWS):
            noise = torch.randn(images.shape, generator=torch_generator(0, "held out", draw))
            denoised = denoiser(images + level * noise, sigma, condition)
            drawn.append(float(denoising_loss(denoised, images, sigma, sigma_data)))
        losses.append(sum(drawn) / _DRAWS)
    return losses


def main() -> None:
    """Trains without every fifth photograph; prints the loss on both parts, and the seconds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--real", type=Path, default=Path("data/train/real"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of train_generator")
    asked = parser.parse_args()
    real, params, changes = asked.real, asked.params, asked.set
    section = load_params(params)["train_generator"]
    for change in changes:
        key, _, value = change.partition("=")
        section[key] = yaml.safe_load(value)
    config = GeneratorConfig.model_validate(section | {"checkpoint_every": section["steps"]})
    known, held = split_photographs(read_face_set(real))
    accelerator = start_accelerator(config.precision)
    torch.set_num_threads(1)
    seed = derive_seed(config.seed, "generator weights")
    denoiser = build_denoiser(architecture_of(config, known), seed)
    begun = time.process_time()
    state = fit(denoiser, known, config, accelerator, Path("no state"))
    seconds = time.process_time() - begun
    denoiser.load_state_dict(state.average)
    denoiser.eval()
    print(f"{' '.join(changes) or 'params as they are'}: {seconds:.0f} processor seconds")
    for name, part in (("learned", known), ("held out", held)):
        losses = losses_of(denoiser, part, config.sigma_data)
        levels = "  ".join(f"{loss:.4f}" for loss in losses)
        mean = sum(losses) / len(losses)
        print(f"{name:8s} {len(part.labels):5d} images, mean {mean:.4f}: {levels}")


if __name__ == "__main__":
    main()
