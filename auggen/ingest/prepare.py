"""From a source of photographs to training, validation and test people."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import atomic_directory
from auggen.core.progress import progress
from auggen.core.seeds import numpy_generator
from auggen.faces.align import align_face
from auggen.faces.decode import decode_image, stored_shape
from auggen.faces.resize import crop_and_resize
from auggen.faces.shards import write_face_set
from auggen.ingest.benchmarks import list_pairs, write_benchmarks
from auggen.ingest.config import PrepareConfig
from auggen.ingest.exclude import Excluded, read_excluded
from auggen.ingest.faults import exclude_lines, tell_broken, tell_shared
from auggen.ingest.landmarks import NO_LANDMARKS, read_landmarks
from auggen.ingest.photos import Photo, Photos
from auggen.ingest.source import open_photos
from auggen.ingest.split import Split, split_identities

Rows = npt.NDArray[np.int64]
_MOST = 1000
"""After so many unusable images nothing more is decoded."""


@dataclass(frozen=True)
class Plan:
    """What will be prepared, known before any image is decoded."""

    people: dict[str, Rows]
    """Rows of the photographs of each identity, identities in natural order."""
    split: Split
    """Which identities go where."""
    source_digest: str
    """SHA-256 over names and bytes of all photographs."""
    landmarks: Float32[np.ndarray, "n 5 2"] | None
    """Of each row, in pixels; None: faces are not aligned."""
    num_repeats: int
    """Photographs left out because the same identity has the same bytes already."""
    num_few: int
    """People left out because they have fewer than `min_images` different photographs."""
    left_out: str
    """What `prepare.exclude` left out, in words; empty if nothing."""

    def count_images(self, part: Literal["train", "validation", "test"]) -> list[int]:
        """Returns the images of each person of a part."""
        return [len(self.people[name]) for name in getattr(self.split, part)]


def plan(photos: Photos, source: Path, config: PrepareConfig) -> Plan:
    """Checks a source and splits its people; reads every file once, decodes none.

    Raises:
        UserError: a wrong list of people to leave out, the same bytes under two identities,
            fewer than two identities with images enough, a split that is impossible, too few
            pairs for a benchmark.
    """
    excluded = read_excluded(photos, source, Path(config.exclude))
    landmarks = None
    if config.landmarks != NO_LANDMARKS:
        landmarks = read_landmarks(photos, source, config.landmarks)
    digests = bytearray()
    source_digest = hashlib.sha256()
    for photo in progress(photos, "check"):
        digest = hashlib.sha256(_read(photo, source)).digest()
        source_digest.update(photo.name.encode() + b"\0" + digest)
        digests += digest
    rows, digests, left_out = _leave_out(photos, excluded, digests)
    repeats = _find_repeats(photos, rows, digests, source)
    num_repeats = len(repeats)
    rows = np.delete(rows, repeats)
    people, num_few = _by_person(photos, rows, source, config)
    if config.max_images:
        people = {name: _draw(rows, name, config.max_images) for name, rows in people.items()}
    split = split_identities(list(people), config)
    for part in (split.validation, split.test):
        list_pairs([len(people[name]) for name in part])
    return Plan(people, split, source_digest.hexdigest(), landmarks, num_repeats, num_few, left_out)


def _by_person(
    photos: Photos, rows: Rows, source: Path, config: PrepareConfig
) -> tuple[dict[str, Rows], int]:
    """Returns the rows of each person with images enough, and how many people have too few.

    Raises:
        UserError: fewer than two people are left.
    """
    edges = np.searchsorted(photos.labels[rows], np.arange(1, len(photos.identities)))
    split = zip(photos.identities, np.split(rows, edges), strict=True)
    found = {name: images for name, images in split if len(images)}
    people = {name: images for name, images in found.items() if len(images) >= config.min_images}
    if not found:
        raise UserError(f"{source}: nobody is left by {config.exclude}; shorten the list")
    if len(people) < 2:
        names = f" ({next(iter(people))!r})" if people else ""
        raise UserError(
            f"{source}: {len(people)}{names} of {len(found)} identities have "
            f"`prepare.min_images` {config.min_images} different images or more; add images or "
            "people, or lower it"
        )
    return people, len(found) - len(people)


def _leave_out(
    photos: Photos, excluded: Excluded, digests: bytearray
) -> tuple[Rows, bytearray, str]:
    """Returns the rows that stay, their part of `digests`, and in words what goes.

    A photograph goes with every other of the same bytes.
    """
    table = np.frombuffer(digests, np.uint8).reshape(len(photos), -1)
    listed = {table[row].tobytes() for row in excluded.rows}
    named = np.array([name in excluded.people for name in photos.identities])
    people = named[photos.labels]
    single = np.array([row.tobytes() in listed for row in table]) & ~people
    stay = np.flatnonzero(~(people | single))
    if len(stay) == len(photos):
        return stay, digests, ""
    told = f"{len(excluded.people)} people and {int(single.sum())} images of others left out"
    return stay, bytearray(table[stay].tobytes()), told


def _draw(rows: Rows, identity: str, most: int) -> Rows:
    """Returns at most so many of an identity's rows, in order; the lot is the name's alone."""
    generator = numpy_generator("max_images", identity)
    return np.sort(generator.permutation(rows)[:most])


def prepare(
    source: Path,
    config: PrepareConfig,
    *,
    train: Path,
    validation: Path,
    test: Path,
    check: Callable[[Plan], None] | None = None,
) -> str:
    """Writes three face sets, the held-out two with benchmarks; all or none. Returns a summary.

    Images are read, cropped, resized and written one by one. `check` may refuse the plan before
    any is decoded.

    Raises:
        UserError: see `plan`; also an unreadable image, or one picture under two identities in
            different encodings.
    """
    with ExitStack() as stack:
        photos = stack.enter_context(open_photos(source))
        planned = plan(photos, source, config)
        if check is not None:
            check(planned)
        done = np.empty(0, np.int64)
        digests = bytearray()
        broken: dict[str, str] = {}
        parts: list[str] = []
        split = planned.split
        for out, names in (
            (train, split.train),
            (validation, split.validation),
            (test, split.test),
        ):
            folder = stack.enter_context(atomic_directory(out))
            rows = np.concatenate([planned.people[name] for name in names])
            paths = [photos[row].name for row in rows.tolist()]
            manifest = write_face_set(
                folder,
                _decode_photos(photos, rows, source, config, planned.landmarks, digests, broken),
                [label for label, name in enumerate(names) for _ in planned.people[name]],
                paths,
                identities=names,
                source_digest=planned.source_digest,
            )
            done = np.concatenate([done, rows])
            if broken:
                continue
            if out is not train:
                write_benchmarks(folder, manifest, paths, config)
            parts.append(f"{out.name} {manifest.num_classes} people x {manifest.num_images} images")
        tell_broken(broken)
        same = _find_repeats(photos, done, digests, source)
        return _tell(planned, config, parts, [photos[int(row)].name for row in done[same]])


def _tell(planned: Plan, config: PrepareConfig, parts: list[str], same: list[str]) -> str:
    """Returns what `prepare` says it did."""
    told = [", ".join(parts), f"{planned.num_repeats} repeated files left out"]
    if planned.num_few:
        told.append(f"{planned.num_few} people with fewer than {config.min_images} images left out")
    if planned.left_out:
        told.append(f"{config.exclude}: {planned.left_out}")
    if same:
        told.append(
            f"{len(same)} images have the pixels of another of their person, which makes pairs too "
            f"easy; leave them out by lines of `prepare.exclude`:\n{exclude_lines(same)}"
        )
    return "; ".join(told)


def _decode_photos(
    photos: Photos,
    rows: Rows,
    source: Path,
    config: PrepareConfig,
    landmarks: Float32[np.ndarray, "n 5 2"] | None,
    digests: bytearray,
    broken: dict[str, str],
) -> Iterator[UInt8[Tensor, "c s s"] | bytes]:
    """Yields prepared images and appends a digest of the pixels of each to `digests`.

    An image that has the asked size and channels already is yielded as its own bytes, unless it is
    aligned. What is wrong with one that cannot be used goes to `broken`, a blank one in its place.
    """
    wanted = (config.channels, config.image_size, config.image_size)
    for row in progress(rows.tolist(), "prepare"):
        content = _read(photos[row], source)
        name = str(source / photos[row].name)
        kept = False
        try:
            image = decode_image(content, channels=config.channels, name=name)
            if landmarks is not None:
                image = _align(image, landmarks[row].astype(np.float64), config.image_size, name)
            else:
                kept = tuple(image.shape) == wanted and stored_shape(content) == wanted
                image = crop_and_resize(image, config.image_size)
        except UserError as error:
            broken[photos[row].name] = str(error)
            if len(broken) == _MOST:
                tell_broken(broken)
            image = torch.zeros(wanted, dtype=torch.uint8)
        digests += hashlib.sha256(image.numpy().tobytes()).digest()
        yield bytes(content) if kept else image


def _align(
    image: UInt8[Tensor, "c h w"], points: Float64[np.ndarray, "5 2"], size: int, name: str
) -> UInt8[Tensor, "c s s"]:
    """Aligns a face. Raises UserError naming the image if its landmarks lie outside of it."""
    outside = (points < 0).any(axis=1) | (points >= [image.shape[2], image.shape[1]]).any(axis=1)
    if outside.all() or np.ptp(points, axis=0).max() < 2:
        raise UserError(
            f"{name}: landmarks {points.tolist()} lie outside or in one pixel; give them in pixels"
        )
    return align_face(image, points, size)


def _find_repeats(photos: Photos, rows: Rows, digests: bytearray, source: Path) -> Rows:
    """Returns the places in `rows` whose digest an earlier one has too.

    Raises:
        UserError: the two show different identities.
    """
    table = np.frombuffer(digests, np.uint64).reshape(len(rows), 4)
    order = np.lexsort(table.T)
    starts = np.flatnonzero(np.append(len(rows) > 0, np.diff(table[order], axis=0).any(axis=1)))
    first = np.empty_like(order)
    first[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
    repeats = np.flatnonzero(first != np.arange(len(rows)))
    labels = photos.labels[rows]
    wrong = repeats[labels[repeats] != labels[first[repeats]]]
    pairs = zip(rows[first[wrong]].tolist(), rows[wrong].tolist(), strict=True)
    tell_shared(source, [(photos[early].name, photos[late].name) for early, late in pairs])
    return repeats


def _read(photo: Photo, source: Path) -> bytes | memoryview:
    try:
        return photo.read()
    except OSError as error:
        raise UserError(f"{source / photo.name}: unreadable ({error}); repair it") from error
