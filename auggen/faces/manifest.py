"""What a face set says of itself: `manifest.json`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from auggen.core.errors import UserError
from auggen.core.files import read_json
from auggen.core.params import Section

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
Count = Annotated[int, Field(ge=1)]


class Shard(Section):
    """One Parquet file of a face set."""

    file: Annotated[str, Field(pattern=r"^shard-\d{5}\.parquet$")]
    """Name inside the face set's folder."""
    rows: Count
    """Number of images."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file's bytes, in hexadecimal."""


class Manifest(Section):
    """Facts about a face set; nobody repeats them in params."""

    format_version: Literal[1]
    """Version of this layout."""
    image_size: Count
    """Height and width of every image, pixels."""
    channels: Literal[1, 3]
    """1 grey, 3 RGB."""
    num_classes: Count
    """Number of identities."""
    num_images: Count
    """Number of images in all shards."""
    identities: list[str]
    """Name of class k at position k."""
    images_per_identity: list[Annotated[int, Field(ge=0)]]
    """Number of images of class k at position k."""
    shards: list[Shard]
    """In row order."""
    source_digest: str
    """Digest of what the set was made of."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        if not self.num_classes == len(set(self.identities)) == len(self.images_per_identity):
            raise ValueError("num_classes, identities and images_per_identity disagree")
        if len(self.identities) != self.num_classes:
            raise ValueError("an identity is named twice")
        if not self.num_images == sum(self.images_per_identity) == sum(s.rows for s in self.shards):
            raise ValueError("num_images, images_per_identity and shards disagree")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Reads a face set's manifest. Raises UserError naming the file if missing or wrong."""
    path = folder / MANIFEST_NAME
    content = read_json(path)
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "manifest"
        raise UserError(
            f"{path}: `{field}`: {first['msg']}; delete {folder} and run `dvc repro` again"
        ) from error
