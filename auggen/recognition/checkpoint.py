"""A trained recogniser on disk: safetensors weights and a JSON that says how to rebuild it."""

from pathlib import Path
from typing import Any

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.errors import UserError
from auggen.recognition.backbones import Backbone, build_backbone

_FILE = "model.safetensors"


def save_recogniser(folder: Path, backbone: Backbone, architecture: dict[str, Any]) -> None:
    """Writes the weights; `architecture` holds build_backbone's arguments but the seed."""
    save_tensors(folder / _FILE, backbone.state_dict(), {"backbone": architecture})


def load_recogniser(folder: Path) -> Backbone:
    """Returns the backbone in eval mode. Raises UserError if missing, truncated or foreign."""
    tensors, meta = load_tensors(folder / _FILE)
    if "backbone" not in meta:
        raise UserError(f"{folder / _FILE}: not a face recogniser; run `dvc repro`")
    try:
        backbone = build_backbone(**meta["backbone"], seed=0)
        backbone.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{folder / _FILE}: weights do not fit its own description ({error}); delete it and "
            "run `dvc repro`"
        ) from error
    return backbone.eval()
