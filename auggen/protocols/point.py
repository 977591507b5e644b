"""One published figure."""

from dataclasses import dataclass

MEAN = "mean"


@dataclass(frozen=True)
class Point:
    """One row of operating_points.csv; None where a field has no meaning."""

    benchmark: str
    metric: str
    headline: bool
    arm: str
    """real, mixed or gain (mixed - real)."""
    seed: str
    """A seed, or `mean` over all of them."""
    value: float
    """A fraction; for the arm `gain` a difference of fractions."""
    low: float | None = None
    """2.5 percentile over people and seeds."""
    high: float | None = None
    """97.5 percentile."""
    false_accepts: int | None = None
    """Impostor pairs accepted."""
    expected_false_accepts: float | None = None
    """False-accept rate times the number of impostor pairs."""
    threshold: float | None = None
    """Cosine above which a pair is accepted."""
