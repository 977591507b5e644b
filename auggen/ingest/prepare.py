"""From a folder or tar of photographs to training, validation and test people."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import atomic_directory
from auggen.core.progress import progress
from auggen.faces.decode import decode_image, stored_shape
from auggen.faces.shards import write_face_set
from auggen.ingest.benchmarks import list_pairs, write_benchmarks
from auggen.ingest.config import PrepareConfig
from auggen.ingest.folder import Photo, open_photos
from auggen.ingest.resize import crop_and_resize
from auggen.ingest.split import Split, split_identities


@dataclass(frozen=True)
class Plan:
    """What will be prepared, known before any image is decoded."""

    people: dict[str, list[Photo]]
    """Photographs of each identity, identities in natural order."""
    split: Split
    """Which identities go where."""
    source_digest: str
    """SHA-256 over names and bytes of all photographs."""
    num_repeats: int
    """Photographs left out because the same identity has the same bytes already."""


def plan(photos: Sequence[Photo], source: Path, config: PrepareConfig) -> Plan:
    """Checks a source and splits its people; reads every file once, decodes none.

    Raises:
        UserError: the same bytes under two identities, an identity with too few images, a single
            identity, a split that is impossible, too few pairs for a benchmark.
    """
    people: dict[str, list[Photo]] = {}
    digests = bytearray()
    source_digest = hashlib.sha256()
    for photo in progress(photos, "check"):
        digest = hashlib.sha256(_read(photo, source)).digest()
        source_digest.update(photo.name.encode() + b"\0" + digest)
        digests += digest
    repeats = _find_repeats(photos, digests, source)
    for row, photo in enumerate(photos):
        images = people.setdefault(photo.identity, [])
        if row not in repeats:
            images.append(photo)
    for identity, images in people.items():
        if len(images) < config.min_images:
            raise UserError(
                f"{source}: identity {identity!r} has {len(images)} different images, "
                f"`prepare.min_images` is {config.min_images}; add images or remove the identity"
            )
    if len(people) < 2:
        raise UserError(f"{source}: only one identity, {photos[0].identity!r}; add others")
    split = split_identities(list(people), config)
    for part in (split.validation, split.test):
        list_pairs([len(people[name]) for name in part])
    return Plan(people, split, source_digest.hexdigest(), len(repeats))


def prepare(
    source: Path, config: PrepareConfig, *, train: Path, validation: Path, test: Path
) -> str:
    """Writes three face sets, the held-out two with benchmarks; all or none. Returns a summary.

    Images are read, cropped, resized and written one by one.

    Raises:
        UserError: see `plan`; also an unreadable image, or one picture under two identities in
            different encodings.
    """
    with ExitStack() as stack:
        planned = plan(stack.enter_context(open_photos(source)), source, config)
        done: list[Photo] = []
        digests = bytearray()
        parts: list[str] = []
        split = planned.split
        for out, names in (
            (train, split.train),
            (validation, split.validation),
            (test, split.test),
        ):
            folder = stack.enter_context(atomic_directory(out))
            photos = [photo for name in names for photo in planned.people[name]]
            paths = [photo.name for photo in photos]
            manifest = write_face_set(
                folder,
                _decode_photos(photos, source, config, digests),
                [label for label, name in enumerate(names) for _ in planned.people[name]],
                paths,
                identities=names,
                source_digest=planned.source_digest,
            )
            done += photos
            _find_repeats(done, digests, source)
            if out is not train:
                write_benchmarks(folder, manifest, paths, config)
            parts.append(f"{out.name} {manifest.num_classes} people x {manifest.num_images} images")
        return f"{', '.join(parts)}; {planned.num_repeats} repeated files left out"


def _decode_photos(
    photos: Sequence[Photo], source: Path, config: PrepareConfig, digests: bytearray
) -> Iterator[UInt8[Tensor, "c s s"] | bytes]:
    """Yields prepared images and appends a digest of the pixels of each to `digests`.

    An image that has the asked size and channels already is yielded as its own bytes.
    """
    wanted = (config.channels, config.image_size, config.image_size)
    for photo in progress(photos, "prepare"):
        content = _read(photo, source)
        name = str(source / photo.name)
        image = decode_image(content, channels=config.channels, name=name)
        kept = tuple(image.shape) == wanted and stored_shape(content) == wanted
        image = crop_and_resize(image, config.image_size)
        digests += hashlib.sha256(image.numpy().tobytes()).digest()
        yield content if kept else image


def _find_repeats(photos: Sequence[Photo], digests: bytearray, source: Path) -> set[int]:
    """Returns the photographs whose digest an earlier one has too; holds 32 bytes of each.

    Raises:
        UserError: the two show different identities.
    """
    table = np.frombuffer(digests, np.uint64).reshape(len(photos), -1)
    _, firsts, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    first = firsts[group.reshape(-1)]
    repeats = np.flatnonzero(first != np.arange(len(photos))).tolist()
    for row in repeats:
        earlier, later = photos[first[row]], photos[row]
        if earlier.identity != later.identity:
            raise UserError(
                f"{source}: {earlier.name} and {later.name} are the same image under two "
                "identities, which would leak across the split; remove one or merge the identities"
            )
    return set(repeats)


def _read(photo: Photo, source: Path) -> bytes:
    try:
        return photo.read()
    except OSError as error:
        raise UserError(f"{source / photo.name}: unreadable ({error}); repair it") from error
