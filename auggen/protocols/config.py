"""Params of `evaluate` and `compare`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from auggen.core.params import Section

MAX_HEADLINES = 3


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is listed twice; list each once")
    return seeds


Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_distinct)]
"""The top-level `seeds`: one real and one mixed model each."""


class Benchmark(Section):
    """One benchmark to run on the held-out people."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Key in metrics/compare.json and name of the result files."""
    protocol: Literal["pairs", "templates", "lowres"]
    """How it is run: pairs (like LFW), templates (like IJB), lowres (like TinyFace)."""
    headline: bool
    """Whether metrics/compare.json shows it; at most three do."""


class EvaluateConfig(Section):
    """How a model is evaluated."""

    identities: Literal["validation", "test"]
    """Held-out people: develop with validation, publish test."""
    batch_size: Annotated[int, Field(ge=1)]
    """Images in a forward pass; part of the result's last bits."""
    flip: bool
    """Whether an embedding is f(image) + f(mirrored image) or f(image) alone."""
    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]
    """Benchmarks in the order of reports."""

    @model_validator(mode="after")
    def _distinct_and_few_headlines(self) -> "EvaluateConfig":
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) < len(names):
            raise ValueError(f"two benchmarks share a name, found {names}; give each its own")
        headlines = [benchmark.name for benchmark in self.benchmarks if benchmark.headline]
        if not 1 <= len(headlines) <= MAX_HEADLINES:
            raise ValueError(
                f"{len(headlines)} benchmarks have `headline: true`; "
                f"mark at least one and at most {MAX_HEADLINES}"
            )
        return self


class CompareConfig(Section):
    """How real and mixed models are compared."""

    num_replicates: Annotated[int, Field(ge=100)]
    """Replicates of the bootstrap over people and seeds; 2000 for a published interval."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of the replicates."""
