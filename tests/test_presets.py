"""The full-size presets: every stage accepts them (`--dry-run`), and how large their networks are.

The data are few, small and made up, but of the presets' layout and resolution; the models beside
them have the right people, channels and pixels and few weights.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor
from typer.testing import CliRunner

import stages.evaluate
import stages.prepare
import stages.select
import stages.synthesize
import stages.train_fr
import stages.train_generator
from auggen.core.files import write_json
from auggen.diffusion.checkpoint import save_generator
from auggen.diffusion.network import Architecture, Denoiser, build_denoiser
from auggen.faces.manifest import read_manifest
from auggen.ingest.prepare import prepare
from auggen.measures.embeddings import Images, embed_images
from auggen.plan.networks import architecture_of, describe_backbone
from auggen.plan.samples import draw_faces, write_photos
from auggen.plan.settings import Settings, read_settings, size_up
from auggen.protocols.evaluate import evaluate_model
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from auggen.selection.scores import PLACES

PRESETS = {"webface160k": (10_000, 160_000, 0.8), "casia": (10_572, 490_623, 0.7)}
PEOPLE, EACH, FEW = 600, 4, 24
SIDE = 32


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest, root: Path) -> Path:
    return root / "presets" / f"{request.param}.yaml"


def test_settings_of_the_papers(preset: Path) -> None:
    """AugGen: 112x112 RGB, IR-50, AdaFace, 26 epochs, its weights, 0.6 M synthetic images."""
    people, images, weight = PRESETS[preset.stem]
    settings = read_settings(preset)
    sizes = size_up(settings, people, images)
    assert (settings.prepare.image_size, settings.prepare.channels) == (112, 3)
    train, search = settings.train_fr, settings.search
    assert (train.backbone, train.head, train.epochs) == ("ir_50", "adaface", 26)
    assert (search.mode, search.alpha, search.beta) == ("fixed", weight, weight)
    assert sizes.pool_images == 600_000
    assert sizes.selected_images == pytest.approx(600_000, rel=0.04)
    smaller = size_up(replace(settings, mix_ratio=settings.mix_ratio / 3), people, images)
    assert smaller.selected_images == pytest.approx(200_000, rel=0.04)
    assert sizes.real_people >= 0.97 * people


def test_networks_of_the_papers(preset: Path) -> None:
    """EDM2-S has 280 M weights (arXiv 2312.02696), IR-50 43.6 M and 6.3 G multiply-adds."""
    people, images, _ = PRESETS[preset.stem]
    settings = read_settings(preset)
    num_classes = size_up(settings, people, images).real_people
    generator = on_meta(architecture_of(settings, num_classes), seed=0)
    backbone = describe_backbone(settings)
    weights = sum(parameter.numel() for parameter in generator.parameters())
    print(f"{preset.stem}: generator {weights / 1e6:.1f} M weights")
    print(f"{preset.stem}: recogniser {backbone.weights / 1e6:.1f} M weights")
    assert weights / 1e6 == pytest.approx(280, rel=0.1)
    assert backbone.weights / 1e6 == pytest.approx(43.6, abs=0.1)
    assert backbone.forward_flops / 2e9 == pytest.approx(6.3, abs=0.1)


def on_meta(architecture: Architecture, seed: int) -> Denoiser:
    """Builds the preset's own generator, without memory."""
    with torch.device("meta"):
        return Denoiser(architecture)


def write_models(folder: Path, settings: Settings) -> torch.nn.Module:
    """Writes a generator and a recogniser of the right people and pixels; returns the second."""
    config = settings.prepare
    shape = {"channels": config.channels, "image_size": config.image_size}
    tiny = {"kind": "small", "width": 8, "embedding_size": 4, "dropout": 0.0} | shape
    backbone = build_backbone(**tiny, seed=0).eval()  # type: ignore[arg-type]
    less = {"channels": [4, 4, 4, 4], "layers_per_block": 1, "attention_levels": 0}
    small = replace(settings, train_generator=settings.train_generator.model_copy(update=less))
    architecture = architecture_of(small, read_manifest(folder / "train").num_classes)
    for name in ("recogniser", "generator"):
        (folder / name).mkdir()
    save_recogniser(folder / "recogniser", backbone, tiny)
    save_generator(folder / "generator", build_denoiser(architecture, seed=0))
    return backbone


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """What the stages of a run find: photographs, face sets, models, pool, scores, results."""
    folder = tmp_path_factory.mktemp("run")
    settings = read_settings(root / "presets" / "casia.yaml")
    faces = draw_faces(PEOPLE * EACH, settings.prepare.channels, SIDE)
    write_photos(folder / "photos", faces, PEOPLE)
    shutil.copytree(
        root / "data", folder / "data", ignore=lambda _, names: {*names} - {"exclude.csv"}
    )
    for number in range(FEW):
        shutil.copytree(folder / "photos" / f"p{number}", folder / "few" / f"p{number}")
    config = settings.prepare.model_copy(update={"validation": 10, "test": 10})
    outs = {name: folder / name for name in ("train", "validation", "test")}
    prepare(folder / "few", config, **outs)
    backbone = write_models(folder, settings)

    def embed(images: Images) -> Tensor:
        return embed_images(backbone, images, batch_size=20, flip=False)

    (folder / "trials").mkdir()
    evaluate_model(embed, outs["test"], folder / "trials", settings.evaluate)
    for arm in ("real", "mixed"):
        for seed in settings.seeds:
            shutil.copytree(folder / "trials", folder / "results" / f"{arm}-{seed}")
    shutil.copytree(folder / "train", folder / "pool")
    weights = {"alpha": settings.search.alpha, "beta": settings.search.beta}
    (folder / "search").mkdir()
    write_json(folder / "search" / "weights.json", weights | {"mode": "fixed", "measures": {}})
    rows = range(read_manifest(folder / "pool").num_images)
    (folder / "scores").mkdir()
    pd.DataFrame(dict.fromkeys(PLACES, rows)).to_parquet(folder / "scores" / "scores.parquet")
    return folder


COMMANDS = {
    "unpack": (stages.prepare, "unpack out"),
    "prepare": (stages.prepare, "prepare photos out out out"),
    "train_generator": (stages.train_generator, "train out"),
    "train_fr": (stages.train_fr, "train out --seed 0"),
    "search": (stages.synthesize, "search train validation generator recogniser out"),
    "synthesize": (stages.synthesize, "synthesize train generator recogniser search out"),
    "score": (stages.select, "score train pool recogniser out"),
    "select": (stages.select, "select train pool scores out"),
    "evaluate": (stages.evaluate, "evaluate test train recogniser out"),
    "compare": (stages.evaluate, "compare results out"),
}
"""Each stage's script and command, with the folders of `run_folder`."""


def test_every_stage_has_a_dry_run(root: Path) -> None:
    graph = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    assert set(COMMANDS) == set(graph)


@pytest.mark.parametrize("stage", COMMANDS)
def test_dry_run(
    stage: str, preset: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder)
    monkeypatch.setattr(stages.train_generator, "build_denoiser", on_meta)
    for checked in (stages.train_generator, stages.synthesize):
        monkeypatch.setattr(checked, "check_run", lambda *_: None)  # four people
    before = sorted(run_folder.iterdir())
    script, words = COMMANDS[stage]
    params = [] if stage == "unpack" else ["--params", str(preset)]
    command = [*words.split(), "--dry-run", *params]
    done = CliRunner().invoke(script.app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "{" in done.output
    assert sorted(run_folder.iterdir()) == before
