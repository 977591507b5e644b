"""The ready accelerate configurations: accelerate reads them and starts what they promise."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from tests.devices.launch import ROOT

FOLDER = ROOT / "presets/accelerate"
PROCESSES = {"one_gpu.yaml": (1, 1), "eight_gpus.yaml": (1, 8), "two_nodes.yaml": (2, 16)}
"""Machines and processes of each."""


def start(*options: str, home: Path) -> subprocess.Popen[str]:
    """Starts `accelerate launch` on a worker that prints its rank; no GPU is touched."""
    return subprocess.Popen(
        ["accelerate", "launch", *options, str(Path(__file__).with_name("rank.py"))],
        env=os.environ | {"HF_HOME": str(home)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def ranks(*started: subprocess.Popen[str]) -> list[str]:
    """Returns the sorted lines of all workers; accelerate must have nothing to warn of."""
    lines: list[str] = []
    try:
        for process in started:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
            assert "had defaults used instead" not in output
            lines += [line for line in output.splitlines() if line.startswith("rank ")]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return sorted(lines)


def test_all_are_here() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PROCESSES)


@pytest.mark.parametrize("name", PROCESSES)
def test_accelerate_reads_it(name: str) -> None:
    config = load_config_from_file(str(FOLDER / name))
    assert (config.num_machines, config.num_processes) == PROCESSES[name]
    assert config.distributed_type == ("NO" if config.num_processes == 1 else "MULTI_GPU")
    assert not config.use_cpu
    # params.yaml decides the precision and the device whether to compile
    assert config.mixed_precision is None
    assert config.dynamo_config == {}


@pytest.mark.pipeline
@pytest.mark.parametrize("name", ["one_gpu.yaml", "eight_gpus.yaml"])
def test_one_machine_starts_its_processes(name: str, tmp_path: Path) -> None:
    """The file is where a user puts it, and the command that of a stage."""
    (tmp_path / "accelerate").mkdir()
    shutil.copy(FOLDER / name, tmp_path / "accelerate/default_config.yaml")
    count = PROCESSES[name][1]
    assert ranks(start(home=tmp_path)) == [f"rank {rank} of {count}" for rank in range(count)]


@pytest.mark.pipeline
def test_two_machines_meet(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--config_file", str(FOLDER / "two_nodes.yaml")]
    options += ["--main_process_ip", "127.0.0.1", "--main_process_port", port]
    nodes = [start(*options, "--machine_rank", node, home=tmp_path) for node in "01"]
    assert ranks(*nodes) == sorted(f"rank {rank} of 16" for rank in range(16))
