"""The `prepare` section of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from auggen.core.params import Section

Share = Annotated[int, Field(ge=2)] | Annotated[float, Field(gt=0, lt=1)]


class PrepareConfig(Section):
    """How photographs become training, validation and test people."""

    source: Annotated[str, Field(pattern=r'^[^"$`\\]+$')]
    """Image folder, tar, RecordIO or Parquet; see `ingest/source.py`. dvc.yaml hands the path to a
    shell, between quotes: it must not hold ", $, ` or a backslash."""
    landmarks: Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
    """File in the source with five landmarks an image, see `ingest/landmarks.py`: faces are aligned
    to ArcFace's template. `none`: the central square is cut out."""
    exclude: Annotated[str, Field(min_length=1)]
    """CSV list of people and images to leave out, as `evaluate` writes it (overlap.csv), see
    `ingest/exclude.py`; a dep in dvc.yaml."""
    image_size: Annotated[int, Field(ge=8)]
    """Height and width of the prepared images, pixels."""
    channels: Literal[1, 3]
    """1 grey, 3 RGB."""
    min_images: Annotated[int, Field(ge=2)]
    """People with fewer different images are left out; at least two templates' worth."""
    max_images: Annotated[int, Field(ge=0)]
    """Most images kept of an identity, drawn by lot so that none outweighs the others; 0: all."""
    split_seed: int
    """Draws the people of validation and test."""
    validation: Share
    """People for validation: a count, or a fraction of all people."""
    test: Share
    """People for test: a count, or a fraction of all people."""
    validation_identities: list[str]
    """People that are validation whatever the seed; the rest up to `validation` is drawn."""
    images_per_template: Annotated[int, Field(ge=1)]
    """Images in one template of the `templates` benchmark."""
    lowres_pixels: Annotated[int, Field(ge=2)]
    """Height and width to which the probes of the `lowres` benchmark are reduced, pixels."""

    @model_validator(mode="after")
    def _is_possible(self) -> "PrepareConfig":
        if len(set(self.validation_identities)) < len(self.validation_identities):
            raise ValueError("validation_identities names somebody twice; name each once")
        if self.min_images < 2 * self.images_per_template:
            raise ValueError(
                f"min_images {self.min_images} cannot fill two templates of images_per_template "
                f"{self.images_per_template}"
            )
        if 0 < self.max_images < self.min_images:
            raise ValueError(
                f"max_images {self.max_images} must be 0 or at least min_images {self.min_images}"
            )
        if self.lowres_pixels >= self.image_size:
            raise ValueError(
                f"lowres_pixels {self.lowres_pixels} must be below image_size {self.image_size}"
            )
        return self
