"""Strict reading of params.yaml: one pydantic model per section, errors before any work."""

import re
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from auggen.core.errors import UserError

T = TypeVar("T")


class Section(BaseModel):
    """Base of every params section: strict types, finite numbers, no unknown keys."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class _Yaml12Loader(yaml.SafeLoader):
    """SafeLoader that reads floats and booleans as YAML 1.2 (and DVC) does.

    PyYAML follows YAML 1.1: it reads `1e-4` as text and `on` as true.
    """

    yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if not tag.endswith((":float", ":bool"))]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.inf$|\.nan$")
_Yaml12Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_params(path: Path) -> dict[str, Any]:
    """Reads a params file as nested dicts. Raises UserError if missing or not a YAML mapping."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct the path, or run from the project's root")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Yaml12Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold `key: value` lines, found {type(content).__name__}")
    return content


@overload
def read_params(path: Path, key: str, kind: type[T]) -> T: ...
@overload
def read_params(path: Path, key: str, kind: Any) -> Any: ...
def read_params(path: Path, key: str, kind: Any) -> Any:
    """Returns `key` (dots descend, e.g. `synthesize.sampler`) of a params file, checked as `kind`.

    `kind` is a `Section` or any type pydantic knows (float, list[int]). An int serves where a
    float is asked for. Raises UserError naming file, field, value and what is allowed.
    """
    value: Any = load_params(path)
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"{path}: `{key}` is missing; add it (see the README or presets/)")
        value = value[part]
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise UserError(f"{path}: {tell_faults(error, key)}") from error


def tell_faults(error: ValidationError, *parents: str) -> str:
    """Returns field, value and reason of each fault; of a whole section the reason alone."""
    lines = []
    for item in error.errors():
        value = "" if isinstance(item["input"], dict) else f" is {item['input']!r}"
        lines.append(f"`{'.'.join([*parents, *map(str, item['loc'])])}`{value}: {item['msg']}")
    return "; ".join(lines)
