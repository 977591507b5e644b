"""A study file, an overlay for another data set, and the experiments they ask for."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from auggen.core.errors import UserError
from auggen.core.params import Section, load_params, tell_faults

SEEDS_KEY = "seeds"
SPLIT_KEY = "prepare.split_seed"
SOURCE_KEY = "prepare.source"
DEFAULT_SOURCE, DEFAULT_DATA = "data/raw/orl", "orl"
"""The photographs the project comes with, and their name. Others are named after their file."""

T = TypeVar("T", bound=Section)


def _plain(changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        if key in (SEEDS_KEY, SPLIT_KEY):
            raise ValueError(f"`{key}` is set by the study's own `splits` and `seeds`; remove it")
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, bool | int | float | str):
                raise ValueError(f"`{key}` must be a number, a text, true, false or a list of them")
    return changes


def _distinct(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("a number is listed twice; list each once")
    return values


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Number = Annotated[int, Field(ge=0)]
Numbers = Annotated[list[Number], Field(min_length=1), AfterValidator(_distinct)]
Changes = Annotated[dict[str, Any], AfterValidator(_plain)]
"""Params by dotted key, e.g. `train_fr.steps: 500`."""
Model = Literal["real", "mixed"]


class Arm(Section):
    """One setting."""

    model: Model
    """Whose figures are the arm's: those of the real or of the mixed models of its experiment."""
    set: Changes
    """Params that differ from params.yaml; arms whose params come out equal share experiments."""
    x: float | None = None
    """Position on a curve, whose axis is the study's `x_name`; an arm without one is a bar."""


class Study(Section):
    """Arms compared on the same people, splits and number of seeds."""

    name: Name
    """Name of the output files and part of the experiments' names."""
    about: Annotated[str, Field(min_length=1)]
    """One sentence: the question."""
    params: Changes
    """Params that every arm shares on any data, e.g. `evaluate.identities: validation`."""
    splits: Numbers
    """Values of `prepare.split_seed`."""
    seeds: Numbers
    """Seeds of each model."""
    reference: Name
    """The arm that gains are taken against."""
    x_name: str = ""
    """What the arms' `x` is, for the curve's axis."""
    confirm: bool = False
    """Whether the result, on test people, goes to metrics/studies/default.json; the arms are `real`
    and `mixed`."""
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    """In the order of tables and pictures."""

    @model_validator(mode="after")
    def _names_are_arms(self) -> "Study":
        if self.reference not in self.arms:
            raise ValueError(
                f"reference {self.reference!r} is no arm; it must be one of {list(self.arms)}"
            )
        if self.confirm and (list(self.arms), self.reference) != (["real", "mixed"], "real"):
            raise ValueError(
                f"confirm needs the arms ['real', 'mixed'] and reference 'real', found "
                f"{list(self.arms)} and {self.reference!r}"
            )
        return self


class Overlay(Section):
    """What a study changes for another data set; its name is that of its file."""

    params: Changes
    """Params of every arm, in place of those of params.yaml; what the study sets wins over them."""
    arms: dict[Name, Changes] = {}
    """Params of arms that depend on the data, of any study; they win over the arm's `set`."""


@dataclass(frozen=True)
class Experiment:
    """One DVC experiment: one setting on one split."""

    name: str
    """Of the experiment; named after the first arm that needs it."""
    split: int
    changes: dict[str, Any]
    """By dotted key, for `dvc exp run --set-param`."""
    params: dict[str, Any]
    """The whole params file that results."""
    models: list[Model]
    """Which models its arms are about."""


@dataclass(frozen=True)
class Plan:
    """Everything that a study asks for on one data set."""

    study: Study
    data: str
    """Name of the data set."""
    experiments: list[Experiment]
    """Each once, in the order in which they run: arm by arm."""
    by_arm: dict[str, list[Experiment]]
    """One a split."""

    @property
    def name(self) -> str:
        """Stem of the output files."""
        return self.study.name if self.data == DEFAULT_DATA else f"{self.study.name}.{self.data}"


def read_plan(
    study_path: Path,
    params_path: Path,
    overlay: Path | None,
    data: Path | None,
    reference: str | None = None,
) -> Plan:
    """Reads a study and lists its experiments.

    Args:
        study_path: the study file.
        params_path: the project's params.yaml.
        overlay: a file of params for another data set.
        data: image folder or tar that becomes `prepare.source`; needs an overlay, whose name is
            the data set's.
        reference: arm to take gains against, instead of the study's own; the study is then called
            `<name>_<reference>`.

    Raises:
        UserError: a file is missing or wrong, or validation people differ between splits; names
            file, field, value and remedy.
    """
    study = _read(study_path, Study)
    if data is not None and overlay is None:
        raise UserError(f"--data {data}: name the params of that data set too (--with FILE)")
    if data is not None and not data.exists():
        raise UserError(f"--data {data}: no such folder or tar")
    other = _read(overlay, Overlay) if overlay else Overlay(params={})
    base = load_params(params_path)
    source = {SOURCE_KEY: str(data.resolve())} if data else {}
    data_name = overlay.stem if overlay else _name_data(str(get_param(base, SOURCE_KEY)))
    label = study.name if data_name == DEFAULT_DATA else f"{study.name}-{data_name}"
    found: list[Experiment] = []
    by_arm: dict[str, list[Experiment]] = {arm: [] for arm in study.arms}
    for arm, entry in study.arms.items():
        chosen = other.params | study.params | source | entry.set | other.arms.get(arm, {})
        for split in study.splits:
            changes = chosen | {SPLIT_KEY: split, SEEDS_KEY: study.seeds}
            params = apply_changes(base, changes, f"{study_path}: arm `{arm}`")
            name = f"study-{label}-{arm}-{split}"
            new = Experiment(name, split, changes, params, [])
            experiment = next((known for known in found if known.params == params), new)
            if experiment is new:
                found.append(new)
            if entry.model not in experiment.models:
                experiment.models.append(entry.model)
            by_arm[arm].append(experiment)
    whose = {str(get_param(item.params, "evaluate.identities")) for item in found}
    if study.confirm and whose != {"test"}:
        raise UserError(
            f"{study_path}: confirm is for test people, and `evaluate.identities` is "
            f"{' and '.join(sorted(whose))}; set it to test under `params`, or leave confirm out"
        )
    if len(study.splits) > 1:
        _check_validation_people(found, overlay or params_path)
    if reference is not None:
        study = _against(study, study_path, reference)
    return Plan(study, data_name, found, by_arm)


def _name_data(source: str) -> str:
    return DEFAULT_DATA if source == DEFAULT_SOURCE else re.sub(r"\W+", "_", Path(source).stem)


def _against(study: Study, path: Path, reference: str) -> Study:
    if reference not in study.arms:
        raise UserError(
            f"--reference {reference}: no arm of {path}; it must be one of {', '.join(study.arms)}"
        )
    changed = {"name": f"{study.name}_{reference}", "reference": reference, "confirm": False}
    return study.model_copy(update=changed)


def _check_validation_people(experiments: list[Experiment], where: Path) -> None:
    for experiment in experiments:
        count = get_param(experiment.params, "prepare.validation")
        named = len(get_param(experiment.params, "prepare.validation_identities") or [])
        if named == 0 or not isinstance(count, int) or named < count:
            raise UserError(
                f"{where}: `prepare.validation_identities` names {named} people and "
                f"`prepare.validation` is {count}, so each split would draw others: what is chosen "
                "on them in one split would be read on them as test people in another; name them "
                "all, and their number"
            )


def apply_changes(params: dict[str, Any], changes: dict[str, Any], where: str) -> dict[str, Any]:
    """Returns params with values replaced by dotted key.

    Raises:
        UserError: params has no such key; `where` says who asked.
    """
    changed = copy.deepcopy(params)
    for key, value in changes.items():
        *parents, last = key.split(".")
        section: Any = changed
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise UserError(f"{where}: sets `{key}`, which params.yaml does not have; correct it")
        section[last] = value
    return changed


def get_param(params: dict[str, Any], key: str) -> Any:
    """Returns the value of a dotted key, or None."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _read(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate(load_params(path))
    except ValidationError as error:
        raise UserError(f"{path}: {tell_faults(error)}; see studies/arms.yaml") from error
