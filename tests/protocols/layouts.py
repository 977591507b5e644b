"""Small test sets in the field's real layouts, out of generated faces."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.io import savemat
from torch import Tensor

from auggen.faces.decode import encode_png

SIDE = 16
RIGHT_EYE_FIRST = [(5.4, 7.4), (10.5, 7.4), (8.0, 10.2), (5.9, 13.2), (10.1, 13.2)]


def draw_face(person: int, image: int, side: int = SIDE) -> Tensor:
    """A pattern of the person and noise of the image, grey."""
    pattern = torch.rand(1, side, side, generator=torch.Generator().manual_seed(person))
    noise = torch.randn(1, side, side, generator=torch.Generator().manual_seed(97 * person + image))
    return ((pattern * 200 + 25 * noise + 25).clamp(0, 255)).to(torch.uint8)


def write_face(path: Path, person: int, image: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(draw_face(person, image)))


def write_lfw(folder: Path, folds: int = 10, pairs: int = 2, people: int = 24) -> Path:
    """pairs.txt beside folders of people, each with three images."""
    random = np.random.default_rng(0)
    for person in range(people):
        for image in (1, 2, 3):
            write_face(folder / f"P_{person}" / f"P_{person}_{image:04d}.png", person, image)
    lines = [f"{folds}\t{pairs}"]
    for _ in range(folds):
        for _ in range(pairs):
            i, j = random.choice([1, 2, 3], 2, replace=False)
            lines.append(f"P_{random.integers(people)}\t{i}\t{j}")
        for _ in range(pairs):
            a, b = random.choice(people, 2, replace=False)
            i, j = random.integers(1, 4, 2)
            lines.append(f"P_{a}\t{i}\tP_{b}\t{j}")
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder / "pairs.txt"


def write_pair_list(folder: Path, groups: tuple[str, ...] = (), same: int = 12) -> Path:
    """`path1 path2 0|1 [group]`, positives first, as CALFW has them."""
    lines = []
    for number, group in enumerate(groups or ("",)):
        for kind in (1, 0):
            for k in range(same):
                a, b = 100 * number + k, 100 * number + (k if kind else k + 1)
                names = [f"im/{a}_1.png", f"im/{b}_2.png"]
                for name, person in zip(names, (a, b), strict=True):
                    write_face(folder / name, person, int(name[-5]))
                lines.append(" ".join([*names, str(kind), group]).strip())
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return folder / "list.txt"


def write_rfw(folder: Path, groups: tuple[str, ...] = ("African", "Asian")) -> Path:
    """txts/<group>/<group>_pairs.txt and data/<group>/<person>/<image>."""
    for number, group in enumerate(groups):
        lines = []
        for k in range(12):
            person, other = f"m.{number}{k:02d}", f"m.{number}{(k + 1) % 12:02d}"
            for image in (1, 2):
                path = folder / "data" / group / person / f"{person}_{image:04d}.jpg"
                write_face(path, 100 * number + k, image)
            lines += [f"{person}\t1\t2", f"{person}\t1\t{other}\t2"]
        path = folder / "txts" / group / f"{group}_pairs.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines) + "\n")
    return folder


class Ijb:
    """IJB-C in small: template numbers with gaps, shuffled lists, videos of several frames."""

    def __init__(self, folder: Path, people: int = 6) -> None:
        self.folder, random = folder, np.random.default_rng(1)
        self.rows: list[tuple[str, int, int, int]] = []  # image, template, media, person
        self.gallery: list[list[int]] = [[], []]
        self.probes: list[int] = []
        self.person: dict[int, int] = {}
        count = 0
        for person in range(people):
            for kind in range(3):  # a gallery template, two probes
                template = 7 + 13 * person + 4 * kind
                self.person[template] = person
                (self.probes if kind else self.gallery[person % 2]).append(template)
                for medium in range(2):
                    for _ in range(1 + medium * 2):
                        count += 1
                        self.rows.append(
                            (f"{count}.jpg", template, 1000 + 2 * kind + medium, person)
                        )
        random.shuffle(self.rows)  # type: ignore[arg-type]
        meta = folder / "meta"
        meta.mkdir(parents=True)
        self.points = {
            name: np.array(RIGHT_EYE_FIRST) + random.normal(0, 0.3, (5, 2))
            for name, *_ in self.rows
        }
        self.scores = {name: float(random.uniform(0.3, 1)) for name, *_ in self.rows}
        for name, _, _, person in self.rows:
            write_face(folder / "loose_crop" / name, person, int(name[:-4]))
        self.write("face_tid_mid.txt", [f"{n} {t} {m}" for n, t, m, _ in self.rows])
        marks = []
        for name in sorted(self.points):
            numbers = " ".join(f"{value:.4f}" for value in self.points[name].ravel())
            marks.append(f"{name} {numbers} {self.scores[name]:.6f}")
        self.write("name_5pts_score.txt", marks)
        galleries = self.gallery[0] + self.gallery[1]
        self.pairs = [
            (g, p, int(self.person[g] == self.person[p])) for g in galleries for p in self.probes
        ]
        random.shuffle(self.pairs)  # type: ignore[arg-type]
        self.write("template_pair_label.txt", [f"{a} {b} {same}" for a, b, same in self.pairs])
        for name, templates in (
            ("1N_gallery_G1.csv", self.gallery[0]),
            ("1N_gallery_G2.csv", self.gallery[1]),
            ("1N_probe_mixed.csv", self.probes),
        ):
            lines = ["TEMPLATE_ID,SUBJECT_ID,FILENAME"]
            lines += [f"{t},{500 + self.person[t]},img/{k}.jpg" for t in templates for k in (1, 2)]
            self.write(name, lines)

    def write(self, ending: str, lines: list[str]) -> Path:
        path = self.folder / "meta" / f"ijbc_{ending}"
        path.write_text("\n".join(lines) + "\n")
        return path

    def path(self, ending: str) -> Path:
        return self.folder / "meta" / f"ijbc_{ending}"


def write_tinyface(folder: Path, people: int = 6, distractors: int = 9) -> Path:
    """Two gallery images and two probes a person, in cells as the published lists are."""
    base = folder / "Testing_Set"
    lists: dict[str, list[tuple[str, int]]] = {"gallery_match": [], "probe": []}
    for person in range(people):
        for what, where in (("gallery_match", "Gallery_Match"), ("probe", "Probe")):
            for image in (1, 2):
                name = f"{person}_{image}.jpg"
                write_face(base / where / name, person, image + 10 * (what == "probe"))
                lists[what].append((name, 40 + 3 * person))
    for number in range(distractors):
        write_face(base / "Gallery_Distractor" / f"{number}.jpg", 1000 + number, 1)
    for what, rows in lists.items():
        cells: npt.NDArray[np.object_] = np.empty((len(rows), 1), dtype=object)
        cells[:, 0] = [name for name, _ in rows]
        short = "gallery" if what == "gallery_match" else what
        numbers = np.array([[number] for _, number in rows], dtype=np.uint16)
        savemat(base / f"{what}_img_ID_pairs.mat", {f"{short}_set": cells, f"{short}_ids": numbers})
    return folder
