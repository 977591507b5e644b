"""The encoded images of a source, by row; nothing but names and places is in memory."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_BYTES = 1 << 28
"""Largest encoded image that is read."""
MAX_IMAGES = 1 << 27
"""Most images of a source."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One encoded image of a source."""

    identity: str
    """Name of the identity."""
    name: str
    """`<identity>/<file>`, or `<identity>/<number>` where images have no file names."""
    read: Callable[[], bytes | memoryview]
    """Returns the encoded bytes, or a view of the file they lie in; may raise OSError."""


class Photos:
    """The images of a source, person by person, people in natural order (s2 before s10)."""

    def __init__(
        self,
        identities: Sequence[str],
        labels: npt.NDArray[np.int32],
        file: Callable[[int], str],
        fetch: Callable[[int], bytes | memoryview],
        beside: Callable[[str], bytes],
    ) -> None:
        """Keeps where the images are.

        Args:
            identities: names of the people.
            labels: the person of each image [n], ascending.
            file: name of the image of a row within its person.
            fetch: encoded bytes of the image of a row.
            beside: content of another file at the top of the source, by name.
        """
        self.identities = list(identities)
        self.labels = labels
        self.read_beside = beside
        self.fetch = fetch
        self._file = file

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> Photo:
        """Returns the image of row in [0, n)."""
        identity = self.identities[self.labels[row]]
        return Photo(identity, f"{identity}/{self._file(row)}", lambda: self.fetch(row))

    def __iter__(self) -> Iterator[Photo]:
        return map(self.__getitem__, range(len(self)))


def sort_labels(
    labels: npt.NDArray[np.int64], names: Callable[[int], str]
) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Returns people in natural order of name, the rows person by person, and their new labels."""
    found, inverse = np.unique(labels, return_inverse=True)
    called = [names(int(label)) for label in found]
    order = sorted(range(len(called)), key=lambda number: natural_key(called[number] + "/"))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    new = place[inverse.reshape(-1)]
    rows = np.argsort(new, kind="stable")
    return [called[number] for number in order], rows, new[rows]


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sorts `s2` before `s10`: digits compare as numbers, then the name itself decides."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [part.lstrip("0") if place % 2 else part for place, part in enumerate(parts)]
    key = [(len(part), part) if place % 2 else part for place, part in enumerate(numbers)]
    return key, name
