"""The two commands of the stage, in this process, on untrained models."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.diffusion.checkpoint import save_generator
from auggen.diffusion.network import Architecture, build_denoiser
from auggen.faces import shards
from auggen.faces.shards import read_face_set, write_face_set
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from auggen.synthesis import runs
from stages.synthesize import app
from tests.conftest import ROOT

PEOPLE = 5
PARAMS: dict[str, Any] = {
    "mix_ratio": 0.0,
    "search": {
        "mode": "grid",
        "alpha": 0.7,
        "beta": 0.6,
        "grid": [0.5, 1.0],
        "num_pairs": 3,
        "images_per_pair": 2,
        "seed": 0,
    },
    "synthesize": {
        "mixing": "condition",
        "pair_rule": "distant",
        "num_classes": 5,
        "images_per_class": 2,
        "anew_images": 0,
        "start_sigma": 2.0,
        "batch_size": 4,
        "seed": 0,
        "sampler": {
            "kind": "heun",
            "num_steps": 2,
            "sigma_min": 0.01,
            "sigma_max": 10.0,
            "rho": 7.0,
            "guidance": 1.0,
            "precision": "fp32",
        },
    },
}


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def write_people(folder: Path, people: int) -> None:
    folder.mkdir()
    random = torch.Generator().manual_seed(people)
    images = torch.randint(0, 256, (3 * people, 1, 16, 16), generator=random).to(torch.uint8)
    labels = [row // 3 for row in range(3 * people)]
    paths = [f"{row}.png" for row in range(3 * people)]
    names = [f"s{person}" for person in range(people)]
    write_face_set(folder, images, labels, paths, identities=names, source_digest="x")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and held-out people, an untrained generator and recogniser, params."""
    folder = tmp_path_factory.mktemp("project")
    toy = yaml.safe_load((ROOT / "presets" / "toy.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(toy | PARAMS))
    write_people(folder / "real", PEOPLE)
    write_people(folder / "validation", 3)
    size = {"channels": 1, "image_size": 16, "width": 4, "embedding_size": 8}
    model = build_backbone("small", **size, dropout=0.0, seed=0)
    save_recogniser(folder / "fr", model, {"kind": "small", **size, "dropout": 0.0})
    save_network(folder / "generator", PEOPLE)
    return folder


def save_network(folder: Path, num_classes: int) -> None:
    architecture = Architecture(
        image_size=16,
        image_channels=1,
        num_classes=num_classes,
        patch_size=2,
        channels=[8, 8],
        layers_per_block=1,
        attention_levels=0,
        dropout=0.0,
        sigma_data=0.5,
    )
    folder.mkdir()
    save_generator(folder, build_denoiser(architecture, seed=0))


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def places(project: Path, command: str, out: Path, generator: str = "generator") -> list[Path]:
    if command == "search":
        names = ["real", "validation", generator, "fr"]
    else:
        names = ["real", generator, "fr", "search"]
    return [*(project / name for name in names), out]


def changed(project: Path, folder: Path, section: str, **changes: Any) -> Path:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params[section] |= changes
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.fixture(scope="module")
def searched(project: Path) -> Path:
    """The project after a search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(project))
        where = places(project, "search", project / "search")
        line = invoke("search", *where, "--params", project / "params.yaml")
    assert line.startswith("search: ")
    assert "at the edge of `search.grid`" in line  # of two values each is an end
    assert line.count("\n") == 1
    return project


def test_search_writes_the_same_twice(searched: Path, tmp_path: Path) -> None:
    where = places(searched, "search", tmp_path / "search")
    invoke("search", *where, "--params", searched / "params.yaml")
    assert digest_files(tmp_path / "search") == digest_files(searched / "search")
    grid = pd.read_csv(tmp_path / "search" / "grid.csv")
    assert grid[["alpha", "beta"]].to_numpy().tolist() == [[0.5, 0.5], [0.5, 1.0], [1.0, 1.0]]
    assert not list((tmp_path / ".checkpoints").iterdir())


def test_fixed_search(project: Path, tmp_path: Path) -> None:
    params = changed(project, tmp_path, "search", mode="fixed", num_pairs=1)
    invoke("search", *places(project, "search", tmp_path / "out"), "--params", params)
    weights = json.loads((tmp_path / "out" / "weights.json").read_text())
    assert (weights["alpha"], weights["beta"], weights["mode"]) == (0.7, 0.6, "fixed")


@pytest.mark.parametrize("mixing", ["condition", "score", "pixel"])
def test_pool(mixing: str, searched: Path, tmp_path: Path) -> None:
    params = changed(searched, tmp_path, "synthesize", mixing=mixing)
    where = places(searched, "synthesize", tmp_path / "pool")
    line = invoke("synthesize", *where, "--params", params)
    assert "10 images of 5 identities" in line
    assert line.count("\n") == 1
    pool = read_face_set(tmp_path / "pool")
    assert pool.images.shape == (10, 1, 16, 16)
    if mixing != "pixel":  # of 3 x 3 photographs it may draw the same two twice
        assert pool.images.unique(dim=0).shape[0] == 10
    assert set(pool.extra["mixing"]) == {mixing}
    assert (pool.extra["photograph"] == -1).all() == (mixing == "pixel")
    assert not (pool.extra["source_i"] == pool.extra["source_j"]).any()
    weights = json.loads((searched / "search" / "weights.json").read_text())
    alpha = {"condition": weights["alpha"], "score": 0.5, "pixel": 0.5}[mixing]
    assert set(pool.extra["alpha"]) == {alpha}


@pytest.mark.parametrize("mixing", ["condition", "score"])
def test_pool_with_people_drawn_anew(mixing: str, searched: Path, tmp_path: Path) -> None:
    """Their images are those of a pool of them alone, whatever the mixing."""
    where = places(searched, "synthesize", tmp_path / "both")
    params = changed(searched, tmp_path, "synthesize", mixing=mixing, anew_images=21)
    invoke("synthesize", *where, "--params", params)
    params = changed(searched, tmp_path, "synthesize", num_classes=0, anew_images=21)
    where = places(searched, "synthesize", tmp_path / "alone")
    line = invoke("synthesize", *where, "--params", params)
    both, alone = (read_face_set(tmp_path / name) for name in ("both", "alone"))
    people = alone.num_classes
    assert f"21 images of {people} identities" in line
    assert both.num_classes == 5 + people
    assert set(both.extra["mixing"][:10]) == {mixing}
    assert set(both.extra["mixing"][10:]) == {"none"}
    assert both.extra["seed"][10:].tolist() == alone.extra["seed"].tolist()
    difference = both.images[10:].int() - alone.images.int()
    assert difference.abs().max() <= 1  # at other places of a batch, last bits may differ


@pytest.mark.parametrize("mixing", ["condition", "score"])
@pytest.mark.parametrize("limit", [0, 1 << 40])
def test_images_start_from_the_photographs_they_name(
    mixing: str, limit: int, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under hardly any noise an image is its photograph, which lies in memory or on disk."""
    monkeypatch.setattr(shards, "_MEMORY_BUDGET", limit)
    where = places(searched, "synthesize", tmp_path / "pool")
    params = changed(searched, tmp_path, "synthesize", mixing=mixing, start_sigma=0.0101)
    invoke("synthesize", *where, "--params", params)
    pool, real = read_face_set(tmp_path / "pool"), read_face_set(searched / "real")
    rows = torch.from_numpy(pool.extra["photograph"].to_numpy().copy())
    assert len(rows.unique()) > 5
    difference = pool.images[:].int() - real.images[rows].int()
    assert difference.float().abs().mean() < 4


def test_from_noise_alone(searched: Path, tmp_path: Path) -> None:
    where = places(searched, "synthesize", tmp_path / "noise")
    params = changed(searched, tmp_path, "synthesize", start_sigma=0.0)
    invoke("synthesize", *where, "--params", params)
    where = places(searched, "synthesize", tmp_path / "photograph")
    invoke("synthesize", *where, "--params", searched / "params.yaml")
    noise, started = (read_face_set(tmp_path / name) for name in ("noise", "photograph"))
    assert noise.extra["seed"].tolist() == started.extra["seed"].tolist()
    assert set(noise.extra["photograph"]) == {-1}
    assert not (noise.images == started.images).all((1, 2, 3)).any()


def test_search_refuses_the_pool_s_faults(searched: Path, tmp_path: Path) -> None:
    params = changed(searched, tmp_path, "synthesize", start_sigma=0.001)
    where = places(searched, "search", tmp_path / "out")
    with pytest.raises(UserError, match=r"start_sigma 0.001 must be 0 .* sampler.sigma_min 0.01"):
        invoke("search", *where, "--params", params)


def test_a_killed_synthesis_resumes_to_the_same_bytes(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = searched / "params.yaml"
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    invoke("synthesize", *places(searched, "synthesize", straight), "--params", params)
    draw_batch, calls = runs.draw_batch, []

    def dies(*arguments: Any) -> torch.Tensor:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return draw_batch(*arguments)

    monkeypatch.setattr(runs, "draw_batch", dies)
    with pytest.raises(RuntimeError, match="killed"):
        invoke("synthesize", *places(searched, "synthesize", resumed), "--params", params)
    assert not resumed.exists()
    invoke("synthesize", *places(searched, "synthesize", resumed), "--params", params)
    assert len(calls) == 4  # three batches; the first was not drawn again
    assert digest_files(resumed) == digest_files(straight)


@pytest.mark.parametrize("command", ["search", "synthesize"])
def test_dry_run_prints_config_and_writes_nothing(
    command: str, searched: Path, tmp_path: Path
) -> None:
    where = places(searched, command, tmp_path / "out")
    printed = invoke(command, *where, "--params", searched / "params.yaml", "--dry-run")
    assert json.loads(printed)["seed"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["search", "synthesize"])
@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_generator_of_other_people(
    command: str, option: list[str], searched: Path, tmp_path: Path
) -> None:
    folder = searched / "foreign"
    if not folder.exists():
        save_network(folder, PEOPLE + 1)
    where = places(searched, command, tmp_path / "out", "foreign")
    with pytest.raises(UserError, match=r"foreign: draws \(6, 1, 16\).*holds \(5, 1, 16\)"):
        invoke(command, *where, "--params", searched / "params.yaml", *option)


def test_more_classes_than_pairs_writes_nothing(searched: Path, tmp_path: Path) -> None:
    params = changed(searched, tmp_path, "synthesize", num_classes=11)
    where = places(searched, "synthesize", tmp_path / "out")
    with pytest.raises(UserError, match=r"`synthesize.num_classes` is 11.*give 10 pairs"):
        invoke("synthesize", *where, "--params", params)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["search", "synthesize"])
def test_a_fault_of_a_later_stage_stops_it_first(
    command: str, searched: Path, tmp_path: Path
) -> None:
    params = changed(searched, tmp_path, "select", rule="blanced")
    with pytest.raises(UserError, match=r"`select\.rule` is 'blanced'"):
        invoke(command, *places(searched, command, tmp_path / "out"), "--params", params)
    params = changed(searched, tmp_path, "select", images_per_class=1, anew_ratio=2.0)
    with pytest.raises(UserError, match=r"`select\.anew_ratio` 2 asks for 6 images.*pool has 0"):
        invoke(command, *places(searched, command, tmp_path / "out"), "--params", params)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "section, changes, message",
    [
        ("search", {"grid": []}, "search.grid"),
        ("search", {"grid": [0.0]}, "search.grid.0"),
        ("search", {"mode": "none"}, "search.mode"),
        ("search", {"images_per_pair": 1}, "search.images_per_pair"),
        ("search", {"num_pairs": 11}, "search.num_pairs"),
        ("synthesize", {"batch_size": 0}, "synthesize.batch_size"),
        ("synthesize", {"pair_rule": "near"}, "synthesize.pair_rule"),
        ("synthesize", {"extra": 1}, "synthesize.extra"),
    ],
)
def test_impossible_params(
    section: str, changes: dict[str, Any], message: str, searched: Path, tmp_path: Path
) -> None:
    params = changed(searched, tmp_path, section, **changes)
    with pytest.raises(UserError, match=f"`{message}`"):
        invoke(section, *places(searched, section, tmp_path / "out"), "--params", params)
    assert not (tmp_path / "out").exists()
