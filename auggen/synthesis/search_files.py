"""What a search leaves on disk: weights.json, grid.csv, heatmap.png, samples.png."""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pydantic import ValidationError
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import read_json, write_bytes, write_json
from auggen.core.params import Section
from auggen.faces.pictures import contact_sheet
from auggen.synthesis.config import SearchConfig, Weight
from auggen.synthesis.search import SearchResult

_FILE = "weights.json"


class Weights(Section):
    """The mixing weights that synthesis uses, and how they were found."""

    alpha: Weight
    """Weight of the first source."""
    beta: Weight
    """Weight of the second source."""
    mode: str
    """grid or fixed."""
    measures: dict[str, float]
    """The chosen point's measures, and held-out people's for comparison."""


def write_search(
    folder: Path, config: SearchConfig, result: SearchResult, pictures: list[list[Tensor]]
) -> None:
    """Writes a search's outputs into an existing folder.

    Args:
        folder: usually an `atomic_directory`.
        config: section `search`.
        result: the judged grid.
        pictures: rows of uint8 [c h w] images: source i, source j, their mixes.
    """
    table = result.grid
    chosen = table[table["chosen"]].iloc[0]
    names = [name for name in table.columns if name.startswith(("m_", "nearest_"))]
    measures = {name: round(float(chosen[name]), 6) for name in names}
    measures["held_out_nearest_similarity"] = round(result.held_out_mean, 6)
    measures["limit"] = round(result.limit, 6)
    weights = Weights(alpha=result.alpha, beta=result.beta, mode=config.mode, measures=measures)
    write_json(folder / _FILE, weights.model_dump())
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_bytes(folder / "grid.csv", text.encode())
    _draw_heatmap(folder / "heatmap.png", result)
    contact_sheet(pictures, folder / "samples.png")


def read_weights(folder: Path) -> Weights:
    """Reads the weights of a search. Raises UserError naming the file if missing or wrong."""
    path = folder / _FILE
    try:
        return Weights.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: `{error.errors()[0]['loc']}`: {error.errors()[0]['msg']}; delete {folder} "
            "and run `dvc repro` again"
        ) from error


def _draw_heatmap(path: Path, result: SearchResult) -> None:
    """Draws m_total over the grid, both halves; x marks rejected points, o the chosen one."""
    table = result.grid
    values = sorted({*table["alpha"], *table["beta"]})
    place = {value: number for number, value in enumerate(values)}
    surface = np.full((len(values), len(values)), np.nan)
    figure = Figure(figsize=(5, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    columns = ("alpha", "beta", "m_total", "rejected", "chosen")
    for alpha, beta, m_total, rejected, chosen in zip(*(table[c] for c in columns), strict=True):
        for x, y in {(place[alpha], place[beta]), (place[beta], place[alpha])}:
            surface[y, x] = m_total
            mark = "x" if rejected else "o" if chosen else ""
            axes.text(x, y, f"{m_total:.2f}\n{mark}", ha="center", va="center")
    image = axes.imshow(surface, origin="lower", cmap="viridis", alpha=0.6)
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_yticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_xlabel("alpha")
    axes.set_ylabel("beta")
    axes.set_title("m_total = m_s + m_d (o chosen, x draws other people)", fontsize=9)
    figure.colorbar(image)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    write_bytes(path, stream.getvalue())
