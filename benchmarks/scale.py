"""Time and memory over the number of images: `python -m benchmarks.scale` (Linux).

Runs prepare, synthesize (a stub for the network), score, select and a reader of random rows on
generated images of 112x112 RGB, each as a process of its own; then the loader against a DataLoader
over image files, the layers that have a row a class, and DVC on a large pool. Writes
benchmarks/scale.csv (a row replaces the one of the same name and size) and benchmarks/scale.png.
500,000 images take about 30 GB under --work, which is left empty.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
TABLE, CURVE = ROOT / "benchmarks" / "scale.csv", ROOT / "benchmarks" / "scale.png"
STAGES = ("prepare", "synthesize", "score", "select", "read")
REAL_IMAGES, READ_IMAGES, LOADER_IMAGES, POOL_IMAGES = 3_000, 10_000, 5_000, 600_000
ROWS_PER_SHARD = 4096
LINEAR, FLAT_MB = 1.2, 2000.0


class Row(NamedTuple):
    """One measurement."""

    what: str
    images: int
    seconds: float
    cpu_seconds: float
    """Of the process and its children: comparable on a machine that does other things too."""
    peak_mb: float
    """Largest resident memory of one process."""
    note: str


def measure(what: str, images: int, command: list[str], cwd: Path, note: str = "") -> Row:
    """Runs a command and returns its wall time, CPU time and peak memory; prints its last line."""
    begun = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(cwd)}
    process = subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{what}: {' '.join(command)} failed")
    spent = usage.ru_utime + usage.ru_stime
    seconds = time.perf_counter() - begun
    note = note or output.replace(f"{cwd}/", "").strip().rpartition("\n")[2]
    row = Row(what, images, round(seconds, 2), round(spent, 2), round(usage.ru_maxrss / 1e3), note)
    print(*row, flush=True)
    return row


def part(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.scale_parts", name, *map(str, arguments)]


def stage(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"stages.{script}", *map(str, arguments)]


def write_params(path: Path, mix_ratio: float) -> None:
    params = yaml.safe_load((ROOT / "presets" / "toy.yaml").read_text())
    params["prepare"] |= {
        "image_size": 112, "channels": 3, "validation": 0.05, "test": 0.05,
        "validation_identities": [], "lowres_pixels": 16, "landmarks": "none",
        "exclude": os.devnull,
    }  # fmt: skip
    params["score"]["batch_size"] = 128
    params["select"] |= {"rule": "between", "images_per_class": 10}
    path.write_text(yaml.safe_dump(params | {"mix_ratio": mix_ratio}))


def prepare(work: Path, num_images: int) -> Row:
    """Prepares `num_images` photographs of a tar into work/{train,validation,test}."""
    write_params(work / "params.yaml", 0.0)
    tar = work / "photographs.tar"
    measure("source", num_images, part("source", tar, num_images), work)
    outs = [work / name for name in ("train", "validation", "test")]
    row = measure("prepare", num_images, stage("prepare", "prepare", tar, *outs), work)
    tar.unlink()
    return row


def measure_size(work: Path, real: Path, recogniser: Path, num_images: int) -> list[Row]:
    """Measures all stages on this many images; the real set of all but prepare is `real`."""
    rows = [prepare(work, num_images)]
    for name in ("train", "validation", "test"):
        shutil.rmtree(work / name)
    pool, scores, mixed = (work / name for name in ("pool", "scores", "mixed"))
    num_real = json.loads((real / "manifest.json").read_text())["num_images"]
    write_params(work / "params.yaml", 0.3 * num_images / num_real)
    rows.append(measure("synthesize", num_images, part("synthesize", real, pool, num_images), work))
    command = stage("select", "score", real, pool, recogniser, scores)
    rows.append(measure("score", num_images, command, work))
    command = stage("select", "select", real, pool, scores, mixed)
    rows.append(measure("select", num_images, command, work))
    shutil.rmtree(mixed)
    note = f"{READ_IMAGES} random rows"
    rows.append(measure("read", num_images, part("read", pool, READ_IMAGES), work, note))
    return rows


def measure_loader(work: Path, pool: Path) -> list[Row]:
    command = part("loader", pool, work / "files", LOADER_IMAGES)
    rows = [measure("loader", LOADER_IMAGES, command, work)]
    for layer in ("condition_layer", "margin_head"):
        rows.append(measure(layer, 30_572, part("classes", layer), work))
    return rows


def measure_dvc(work: Path, pool: Path) -> list[Row]:
    """Times `dvc status` and `dvc repro` with nothing to do, in a clone with all outs in place."""
    clone, run = work / "clone", os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    outs = {out["path"] for entry in lock["stages"].values() for out in entry["outs"]}
    for out in sorted(outs):
        path = clone / out
        if not path.exists() and not path.suffix:
            path.mkdir(parents=True)
            (path / "content").write_text(out)
    shards = sorted(pool.glob("shard-*.parquet"))[:-1]  # full ones
    for number in range(-(-POOL_IMAGES // ROWS_PER_SHARD)):
        target = clone / "data" / "pool" / f"shard-{number:05d}.parquet"
        shutil.copyfile(shards[number % len(shards)], target)
    dvc = [str(Path(sys.executable).parent / "dvc")]
    subprocess.run([*dvc, "commit", "--force", "--quiet"], cwd=clone, env=run, check=True)
    rows = []
    for name in ("status", "repro"):
        attempts = [measure(f"dvc {name}", POOL_IMAGES, [*dvc, name], clone) for _ in range(3)]
        rows.append(min(attempts, key=lambda row: row.seconds))
    return rows


def record(rows: list[Row]) -> list[Row]:
    """Replaces the table's rows of the same name and size; returns the whole table."""
    table = {}
    if TABLE.is_file():
        with TABLE.open(newline="") as stream:
            for line in csv.DictReader(stream):
                numbers = (float(line[name]) for name in ("seconds", "cpu_seconds", "peak_mb"))
                row = Row(line["what"], int(line["images"]), *numbers, line["note"])
                table[row.what, row.images] = row
    table |= {(row.what, row.images): row for row in rows}
    ordered = sorted(table.values(), key=lambda row: (row.what, row.images))
    with TABLE.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(ordered)
    return ordered


def draw(table: list[Row]) -> None:
    """Draws CPU time and peak memory over the number of images, and says what bends."""
    from matplotlib.figure import Figure  # after all measurements: the parent stays small

    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in STAGES:
        curve = [row for row in table if row.what == name]
        images = [row.images for row in curve]
        left.loglog(images, [row.cpu_seconds for row in curve], "o-", label=name)
        right.semilogx(images, [row.peak_mb for row in curve], "o-", label=name)
        for a, b in pairwise(curve):
            bend = (b.cpu_seconds / a.cpu_seconds) / (b.images / a.images)
            verdict = "" if bend <= LINEAR and b.peak_mb < FLAT_MB else "  <- not as promised"
            step = f"{name}: {a.images} -> {b.images}"
            print(f"{step}: {bend:.2f} x linear, {b.peak_mb:.0f} MB{verdict}")
    left.set(xlabel="images", ylabel="CPU seconds")
    right.set(xlabel="images", ylabel="peak resident memory, MB", ylim=(0, FLAT_MB))
    left.legend()
    figure.savefig(CURVE, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 500_000])
    parser.add_argument("--work", type=Path, required=True, help="a folder that may be filled")
    given = parser.parse_args()
    least = 2 * ROWS_PER_SHARD  # a whole shard beside the last one, for the pool that DVC sees
    if given.sizes and min(given.sizes) < least:
        parser.error(f"--sizes: {min(given.sizes)} images are too few; take at least {least}")
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    base = work / "base"
    base.mkdir()
    prepare(base, REAL_IMAGES)
    recogniser = base / "recogniser"
    measure("recogniser", 0, part("recogniser", recogniser), base)
    table: list[Row] = []
    for number, num_images in enumerate(sorted(given.sizes)):
        folder = work / str(num_images)
        folder.mkdir()
        table = record(measure_size(folder, base / "train", recogniser, num_images))
        if number == 0:
            table = record(measure_loader(folder, folder / "pool"))
            table = record(measure_dvc(folder, folder / "pool"))
        shutil.rmtree(folder)
    shutil.rmtree(base)
    draw(table)


if __name__ == "__main__":
    main()
