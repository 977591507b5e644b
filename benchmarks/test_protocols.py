"""Protocols at full size: `python -m pytest benchmarks/test_protocols.py`, 8 GB, minutes.

Contenders run one after another, each in a process of its own, so that memory is one's own.
"""

from typing import Any

import pytest

from benchmarks.side_by_side import Turns, record

SUITES = {
    "ijbc_1to1": ("1to1", "1to1_peer", "from embeddings in memory to all TARs of IJB-C 1:1"),
    "ijbc_1ton": ("1ton", "1ton_peer", "closed-set and open-set 1:N; the peer closed-set alone"),
    "tinyface": ("tinyface", "tinyface_peer", "from embeddings to rank-1, 5, 20"),
    "verification_10fold": ("folds", "folds_peer", "6,000 distances to ten accuracies"),
}


def run(contender: str, rounds: int) -> dict[str, Any]:
    """Seconds of the fastest round, after one to warm up if there are several, and peak memory."""
    with Turns("protocol_scale", [contender]) as turns:
        for number in range(rounds):
            turns.take()
            if number == 0 and rounds > 1:
                turns.forget()
        answers = turns.rounds[contender]
        seconds = min(answer["seconds"] / answer["images"] for answer in answers)
        facts = turns.facts[contender]
        found = {"figures": answers[-1]["figures"]}
        return {**facts, **found, "seconds": seconds, "peak_gb": turns.peak_gb(contender)}


def entry(ours: dict[str, Any], peer: dict[str, Any] | None, compared: str) -> dict[str, Any]:
    found = {
        "ratio": round((peer or ours)["seconds"] / ours["seconds"], 2),
        "peak_gb": round(ours["peak_gb"], 3),
        "seconds": round(ours["seconds"], 4),
        "compared": compared,
        "command": "python -m pytest benchmarks/test_protocols.py",
    }
    if "floor_s" in ours:
        found["floor_s"] = round(ours["floor_s"], 3)
    if peer:
        found |= {
            "peer_seconds": round(peer["seconds"], 4),
            "peer_peak_gb": round(peer["peak_gb"], 3),
        }
    return found


@pytest.mark.parametrize("suite", SUITES)
def test_protocol(suite: str) -> None:
    mine, other, compared = SUITES[suite]
    ours, peer = run(mine, rounds=3), run(other, rounds=1)
    common = len(peer["figures"])
    assert ours["figures"][:common] == pytest.approx(peer["figures"], abs=1e-9)
    found = entry(ours, peer, compared)
    if suite == "ijbc_1to1":
        cached = run("1to1_cached", rounds=3)
        found["ratio_cached"] = round(peer["seconds"] / cached["seconds"], 2)
    print(suite, found)
    record(suite, found)


def test_bootstrap() -> None:
    compared = "1,000 replicas over people, IJB-C 1:1: 60 s / ours"
    found = entry(run("bootstrap", rounds=1), None, compared)
    found["ratio"] = round(60 / found["seconds"], 2)
    print("bootstrap_ijbc", found)
    record("bootstrap_ijbc", found)
