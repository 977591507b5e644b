"""Embeddings and digests of large image lists, kept between runs. n images, d embedding size.

Decoding and embedding is the real cost of a test set (hours for IJB-C), so float32 embeddings stay
in `$DVC_ROOT/.embeddings/<model>-<list>`, outside of what DVC deletes. `rm -r .embeddings` forgets
them.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from jaxtyping import Float, UInt8
from torch import Tensor

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.core.progress import progress
from auggen.core.seeds import derive_seed
from auggen.faces.images import ImageRows, make_batches

_CODE = Path(__file__).parents[1]
_MADE_BY = (
    "core",
    "faces",
    "measures/embeddings.py",
    "protocols/embedding_cache.py",
    "protocols/external_images.py",
    "recognition",
)
_BATCHES_PER_PART = 16
_NAME, _DIGESTS = "embeddings", "digests"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class EmbeddingCache:
    """The embeddings of one list of images by one model, one file for 16 batches."""

    folder: Path
    """Where the files are."""
    num_images: int
    """Images of the list."""
    batch_size: int
    """Images of an embedding call."""

    @classmethod
    def of(
        cls,
        model_dir: Path,
        images: Tensor | ImageRows,
        list_digest: str,
        *,
        batch_size: int,
        flip: bool,
    ) -> "EmbeddingCache":
        """Names the folder after everything that the embeddings' bits depend on."""
        code = digest_files(*(_CODE / name for name in _MADE_BY), pattern="*.py")
        how = repr((tuple(images.shape), batch_size, flip, torch.__version__))
        model = derive_seed(digest_files(model_dir), code, how)
        root = Path(os.environ.get("DVC_ROOT", ".")) / ".embeddings"
        return cls(root / f"{model:016x}-{list_digest[:16]}", len(images), batch_size)

    def fill(
        self, images: Tensor | ImageRows, embed: Callable[[Tensor], Tensor], run: Accelerator
    ) -> None:
        """Makes what a killed or an earlier run did not; processes share out whole files.

        Raises:
            UserError: an image cannot be decoded; names it.
        """
        rows = self._rows
        mine = range(run.process_index, -(-self.num_images // rows), run.num_processes)
        missing = [number for number in mine if not self._path(number).exists()]

        def fetch(number: int) -> Tensor:
            return images[number * rows : (number + 1) * rows]

        batches = make_batches(fetch, missing, images)
        shown = progress(missing, f"embed {self.folder.name}", show=run.is_main_process)
        for number, batch in zip(shown, batches, strict=True):
            tensors = {_NAME: embed(batch), _DIGESTS: _digests(batch)}
            save_tensors(self._path(number), tensors, {"rows": len(batch)})
        run.wait_for_everyone()

    def read(self) -> Float[Tensor, "n d"]:
        """Returns all raw embeddings. Raises UserError naming a file that is damaged."""
        out = torch.empty(0, 0)
        for start, part, _ in self.parts():
            if start == 0:
                out = torch.empty(self.num_images, part.shape[1])
            out[start : start + len(part)] = part
        return out

    def parts(self) -> Iterator[tuple[int, Float[Tensor, "k d"], UInt8[Tensor, "k 32"]]]:
        """Yields the first row, the raw embeddings and the SHA-256 of the pixels, file by file.

        Raises:
            UserError: a file is damaged; names it.
        """
        nothing = torch.empty(0, 0)
        for start in range(0, self.num_images, self._rows):
            path = self._path(start // self._rows)
            tensors = load_tensors(path)[0]
            part, digests = (tensors.get(name, nothing) for name in (_NAME, _DIGESTS))
            rows = min(self._rows, self.num_images - start)
            if part.ndim != 2 or len(part) != rows or digests.shape != (rows, _DIGEST_BYTES):
                raise UserError(f"{path}: not what `evaluate` keeps; delete {self.folder}")
            yield start, part, digests

    @property
    def _rows(self) -> int:
        return _BATCHES_PER_PART * self.batch_size

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.safetensors"


def _digests(images: Tensor) -> UInt8[Tensor, "k 32"]:
    found = (hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in images)
    return torch.frombuffer(bytearray(b"".join(found)), dtype=torch.uint8).view(-1, _DIGEST_BYTES)
