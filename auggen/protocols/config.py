"""Params of `evaluate` and `compare`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from auggen.core.params import Section
from auggen.measures.roc import TarDefinition

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


class External(Section):
    """One test set of the field, read from where it lies."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Key in metrics/benchmarks.csv; lfw, cfp_fp, cplfw, agedb_30, calfw together give avg_h."""
    path: str
    """File or folder, absolute or from the project's root; docs/benchmarks.md has the layouts."""
    headline: bool
    """Whether metrics/compare.json shows it; at most three rows do."""
    num_replicates: Annotated[int, Field(ge=100)] = 1000
    """Replicates of the bootstrap over people, or over pairs where a set names no people."""


class PairsRow(External):
    """1:1 verification of listed pairs, ten folds."""

    protocol: Literal["bin", "lfw_pairs", "pair_list"]
    """A `.bin` file; LFW's pairs.txt beside its images; lines `path1 path2 0|1`."""


class GroupsRow(External):
    """1:1 verification by groups at one threshold."""

    protocol: Literal["groups"]
    """RFW's folder, or lines `path1 path2 0|1 group`."""
    far: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """False-accept rate over all groups that sets the threshold."""


class TemplatesRow(External):
    """IJB-B or IJB-C."""

    protocol: Literal["ijb", "ijb_1n"]
    """1:1 over listed pairs of templates; 1:N in both galleries."""
    keep_norm: bool = True
    """N: whether an image counts by the length of its embedding. (F is `evaluate.flip`.)"""
    detector_score: bool = True
    """D: whether an image counts by its detector score."""
    tar_definition: TarDefinition = "at_most"
    """What "TAR at FAR" means: at_most, nearest (the usual IJB scripts) or interpolated."""


class TinyFaceRow(External):
    """TinyFace: 1:N at low resolution, with distractors."""

    protocol: Literal["tinyface"]
    """Rank-1, 5 and 20."""


ExternalRow = PairsRow | GroupsRow | TemplatesRow | TinyFaceRow


class EvaluateConfig(Section):
    """How a model is evaluated."""

    identities: Literal["validation", "test"]
    """Held-out people: develop with validation, publish test."""
    batch_size: Annotated[int, Field(ge=1)]
    """Images in a forward pass; part of the result's last bits."""
    flip: bool
    """Whether an embedding is f(image) + f(mirrored image) or f(image) alone."""
    benchmarks: Annotated[
        list[Annotated[Benchmark | ExternalRow, Field(discriminator="protocol")]],
        Field(min_length=1),
    ]
    """Benchmarks in the order of reports: of held-out people, and test sets of the field."""

    @property
    def held_out(self) -> list[Benchmark]:
        """The rows about held-out people."""
        return [row for row in self.benchmarks if isinstance(row, Benchmark)]

    @property
    def external(self) -> list[ExternalRow]:
        """The rows about test sets of the field."""
        return [row for row in self.benchmarks if not isinstance(row, Benchmark)]

    @model_validator(mode="after")
    def _distinct_and_few_headlines(self) -> "EvaluateConfig":
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) < len(names):
            raise ValueError(f"two benchmarks share a name, found {names}; give each its own")
        if taken := {"avg_h", "metrics"} & set(names):
            raise ValueError(f"the name {min(taken)} is taken by the results; give another")
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
