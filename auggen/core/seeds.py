"""Random streams named by what they are for, so that order and process count never matter."""

import hashlib

import numpy as np
import torch


def derive_seed(*keys: int | str) -> int:
    """Returns a 63-bit seed that depends on the keys alone: `derive_seed(seed, "batch", 7)`."""
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(*keys: int | str) -> torch.Generator:
    """Returns a CPU generator seeded by `derive_seed(*keys)`."""
    return torch.Generator().manual_seed(derive_seed(*keys))


def numpy_generator(*keys: int | str) -> np.random.Generator:
    """Returns a numpy generator seeded by `derive_seed(*keys)`."""
    return np.random.default_rng(derive_seed(*keys))
