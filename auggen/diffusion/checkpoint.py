"""The generator on disk: model.safetensors and the architecture in model.json."""

from pathlib import Path

from pydantic import ValidationError

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.errors import UserError
from auggen.core.files import read_json, write_json
from auggen.diffusion.network import Architecture, Denoiser, build_denoiser

WEIGHTS_NAME = "model.safetensors"
ARCHITECTURE_NAME = "model.json"
_KIND = {"kind": "generator", "format_version": 1}


def save_generator(folder: Path, denoiser: Denoiser) -> None:
    """Writes weights and architecture into an existing folder."""
    write_json(folder / ARCHITECTURE_NAME, denoiser.architecture.model_dump())
    save_tensors(folder / WEIGHTS_NAME, denoiser.state_dict(), _KIND)


def load_generator(folder: Path) -> Denoiser:
    """Returns a trained generator in evaluation mode, on the CPU.

    Raises:
        UserError: a file is missing, truncated, foreign, or the two do not belong together.
    """
    path = folder / ARCHITECTURE_NAME
    try:
        architecture = Architecture.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: not the description of a generator ({error.errors()[0]['msg']}); "
            f"delete {folder} and run `dvc repro`"
        ) from error
    tensors, meta = load_tensors(folder / WEIGHTS_NAME)
    denoiser = build_denoiser(architecture, seed=0)
    try:
        if meta != _KIND:
            raise RuntimeError(f"it is a {meta}")
        denoiser.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{folder / WEIGHTS_NAME}: does not fit {ARCHITECTURE_NAME} beside it "
            f"({str(error).splitlines()[0]}); delete {folder} and run `dvc repro`"
        ) from error
    return denoiser.eval()
