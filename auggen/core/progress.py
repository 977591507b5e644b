"""A progress bar with rate and ETA on a terminal; silence in logs and on other ranks."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(
    items: Iterable[T], what: str, *, total: int | None = None, first: int = 0, show: bool = True
) -> "tqdm[T]":
    """Wraps an iterable. `first` counts items done before a resume; `show` is False off rank 0."""
    return tqdm(items, desc=what, total=total, initial=first, disable=None if show else True)
