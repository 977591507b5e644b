"""Measuring at toy size gives a price to everything; scaling is proportional to arithmetic."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from auggen.core.errors import UserError
from auggen.plan import clock, data_rates
from auggen.plan.data_rates import measure_data, measure_dvc, measure_starts
from auggen.plan.network_rates import NetworkRates, measure_networks, scale_rates
from auggen.plan.networks import describe_backbone, describe_generator
from auggen.plan.settings import Settings, Sizes

RATES = NetworkRates(*(float(number) for number in range(1, 8)))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "SECONDS", 0.0)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_networks_have_a_price(settings: Settings, sizes: Sizes, tmp_path: Path) -> None:
    rates = measure_networks(settings, sizes, 2, tmp_path)
    assert all(value >= 0 for value in asdict(rates).values())
    updates = (rates.generator_update, rates.real_update, rates.mixed_update)
    assert min(*updates, rates.draw_batch, rates.embed_image) > 0
    assert not list((tmp_path / ".checkpoints").glob("*"))


def test_a_batch_must_divide(settings: Settings, sizes: Sizes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_generator\.batch_size is 16: .* 3 devices"):
        measure_networks(settings, sizes, 3, tmp_path)


def test_a_processor_is_spared(settings: Settings, sizes: Sizes, tmp_path: Path) -> None:
    large = settings.train_generator.model_copy(update={"batch_size": 1 << 22})
    with pytest.raises(UserError, match="--scale-from"):
        measure_networks(replace(settings, train_generator=large), sizes, 1, tmp_path)


def test_all_else_has_a_price(
    settings: Settings, sizes: Sizes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_rates, "measure_starts", lambda path: ({str(path): 1.0}, 5.0))
    monkeypatch.setattr(data_rates, "measure_dvc", lambda folder: (2.0, 3.0))
    rates = measure_data(settings, sizes, tmp_path)
    assert rates.start == {"dvc.yaml": 1.0}
    assert (rates.base_bytes, rates.dvc_start, rates.dvc_stage) == (5.0, 2.0, 3.0)
    rest = {k: v for k, v in asdict(rates).items() if k != "start"}
    assert min(rest.values()) > 0
    assert 16 * 16 / 2 < rates.image_bytes < 16 * 16 * 4


def test_a_start_is_timed_once_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        data_rates, "_starter", lambda command, _: lambda: asked.append(tuple(command))
    )
    graph = tmp_path / "dvc.yaml"
    graph.write_text(
        "stages:\n"
        "  a: {cmd: python -m stages.prepare unpack x}\n"
        "  b: {cmd: python -m stages.prepare prepare x y}\n"
        "  c: {cmd: accelerate launch -m stages.prepare x}\n"
    )
    starts, peak = measure_starts(graph)
    assert asked == [
        ("python", "-m", "stages.prepare", "--help"),
        ("accelerate", "launch", "-m", "stages.prepare", "--help"),
    ]
    assert starts["a"] == starts["b"]
    assert list(starts) == ["a", "b", "c"]
    assert peak >= 0
    with pytest.raises(UserError, match="run from the project's root"):
        measure_starts(tmp_path / "none.yaml")


def test_dvc_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One start and one stage, then one start and nine: 12 s and 28 s."""
    graphs: list[str] = []
    monkeypatch.setattr(data_rates, "_starter", lambda _, folder: lambda: folder / "dvc.yaml")

    def timed(work: object) -> float:
        graphs.append(work().read_text())  # type: ignore[operator]
        return 10.0 + 2.0 * graphs[-1].count("cmd:")

    monkeypatch.setattr(data_rates, "time_once", timed)
    assert measure_dvc(tmp_path / "dvc") == (10.0, 2.0)


def test_scaling_to_itself_changes_nothing(settings: Settings, sizes: Sizes) -> None:
    same = settings, sizes
    assert scale_rates(RATES, same, same, 1) == RATES


def test_scaling_is_by_arithmetic(settings: Settings, sizes: Sizes) -> None:
    larger = replace(
        settings,
        prepare=settings.prepare.model_copy(update={"image_size": 32}),
        train_fr=settings.train_fr.model_copy(update={"batch_size": 96}),
    )
    scaled = scale_rates(RATES, (settings, sizes), (larger, sizes), 2)
    work = [describe_generator(each, sizes).training_flops for each in (settings, larger)]
    faces = [describe_backbone(each).training_flops for each in (settings, larger)]
    assert scaled.generator_update == pytest.approx(2.0 * work[1] / work[0] / 2)
    assert scaled.draw_batch == pytest.approx(3.0 * work[1] / work[0])
    assert scaled.real_update == pytest.approx(5.0 * faces[1] / faces[0] * 3 / 2)
    assert scaled.mixed_update / scaled.real_update == pytest.approx(6 / 5)
    assert scaled.embed_image == pytest.approx(7.0 * faces[1] / faces[0])
