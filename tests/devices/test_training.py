"""Two processes train like one that is given the same batches.

Dropout masks are drawn for each process, so these trainings go without. The rest differs in the
order of sums alone: the distance between the weights is below a thousandth of the distance to a
training that shares the batch out wrongly, which each test makes for comparison.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from auggen.core.checkpoints import load_tensors
from auggen.core.params import read_params
from auggen.core.seeds import torch_generator
from auggen.diffusion import training as generator_training
from auggen.recognition.augmentation import augment, draw_augmentation
from auggen.recognition.config import TrainConfig
from auggen.recognition.margins import shares_source
from auggen.recognition.training import build_recogniser, learning_rate_factor
from auggen.recognition.training_data import BatchPlan, TrainingData, read_training_data
from stages.select import app as select_app
from stages.synthesize import app as synthesize_app
from stages.train_generator import app as train_generator_app
from tests.devices.conftest import Invoke
from tests.devices.launch import launch

TOLERANCE = 1e-3
SEED = 3

pytestmark = pytest.mark.pipeline


def distance(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Euclidean distance over all weights and running statistics."""
    assert first.keys() == second.keys()
    squares = [(value.double() - second[name]).square().sum() for name, value in first.items()]
    return float(torch.stack(squares).sum().sqrt())


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_tensors(folder / "model.safetensors")[0]


def test_generator(project: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke(train_generator_app, project, "real", "one")
    launch(project, 2, "stages.train_generator", "real", "two")
    draw_batch = generator_training.draw_batch
    with monkeypatch.context() as patch:  # what either process would do if left alone
        patch.setattr(
            generator_training, "draw_batch", lambda *arguments: draw_batch(*arguments[:3], 0, 2)
        )
        invoke(train_generator_app, project, "real", "half")
    one, two, half = (weights_of(project / name) for name in ("one", "two", "half"))
    assert distance(one, two) < TOLERANCE * distance(one, half)
    curves = [(project / name / "loss.csv").read_text().splitlines()[1:] for name in ("one", "two")]
    for alone, shared in zip(*curves, strict=True):
        assert float(alone.split(",")[1]) == pytest.approx(float(shared.split(",")[1]), abs=2e-5)
    assert not list((project / ".checkpoints").iterdir())


def test_recogniser(project: Path, invoke: Invoke) -> None:
    models = ["generator", "fr"]
    invoke(synthesize_app, project, "search", "real", "validation", *models, "search")
    invoke(synthesize_app, project, "synthesize", "real", *models, "search", "pool")
    invoke(select_app, project, "score", "real", "pool", "fr", "scores")
    invoke(select_app, project, "select", "real", "pool", "scores", "mixed")
    launch(project, 2, "stages.train_fr", "mixed", "two", "--seed", str(SEED))
    data = read_training_data(project / "mixed")
    assert data.num_classes > data.num_real_classes
    config = read_params(project / "params.yaml", "train_fr", TrainConfig)
    expected = train_plainly(data, config, 2)
    two = weights_of(project / "two")
    assert distance(two, expected) < TOLERANCE * distance(train_plainly(data, config, 1), expected)


def train_plainly(data: TrainingData, config: TrainConfig, num_parts: int) -> dict[str, Tensor]:
    """Returns the weight average of a training in one process, every formula written out.

    Batch norm sees one part of the batch at a time, and the first part's running statistics stay;
    gradients are those of the whole batch's weighted mean; SGD with Nesterov momentum by hand.
    """
    plan = data.plan
    assert plan is not None
    model, _ = build_recogniser(config, data, SEED)
    batches = BatchPlan(data, seed=SEED, steps=config.steps, batch_size=config.batch_size)
    velocity = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    average = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    for step in range(config.steps):
        rows, labels = batches.rows(step), data.labels[batches.rows(step)]
        draws = draw_augmentation(len(rows), torch_generator(SEED, "augment", step))
        images = augment(data.images[rows].float() / 127.5 - 1.0, draws, config.augment)
        weight = torch.where(rows < data.num_real, 1.0, plan.loss_weight)
        margin = torch.where(labels < data.num_real_classes, 1.0, plan.margin_scale) * config.margin
        excluded = shares_source(labels, data.sources)
        model.zero_grad()
        before = {name: value.clone() for name, value in model.named_buffers()}
        for number in reversed(range(num_parts)):
            for name, value in model.named_buffers():
                value.copy_(before[name])
            part = slice(number, None, num_parts)
            losses = model(images[part], labels[part], margin[part], excluded[part])
            (losses * weight[part] / weight.sum()).sum().backward()
        rate = config.learning_rate * learning_rate_factor(step, config.steps, config.warmup_steps)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            slope = parameter.grad + decay * parameter.detach()
            velocity[name] = config.momentum * velocity[name] + slope
            parameter.data -= rate * (slope + config.momentum * velocity[name])
        keep = min(config.ema_decay, (1 + step) / (10 + step))
        for name, value in model.backbone.state_dict().items():
            if value.is_floating_point():
                average[name] = keep * average[name] + (1 - keep) * value
            else:
                average[name] = value.clone()
    return average
