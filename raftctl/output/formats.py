"""Data for programs: JSON, which every schema is defined in, and YAML."""

from collections.abc import Mapping
from json import dumps
from typing import Any

from raftctl.output.report import Json


def json_text(value: Any) -> str:
    """Return `value` as one line of JSON."""
    return dumps(value, ensure_ascii=False, separators=(",", ":"))


def with_schema(schema: str, data: Json) -> dict[str, Any]:
    """Return `data` with its schema in front."""
    return {"schema": f"raftctl.{schema}/1", **data}


def yaml_text(value: Any, indent: int = 0) -> str:
    """Return plain JSON data as YAML. Texts are quoted as in JSON, which YAML reads as the same text."""
    pad = "  " * indent
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{pad}{_yaml_key(k)}:{_yaml_child(v, indent)}" for k, v in value.items())
    if isinstance(value, list | tuple) and value:
        return "\n".join(f"{pad}- {yaml_text(item, indent + 1).lstrip()}" for item in value)
    return pad + json_text(value)


def _yaml_key(key: str) -> str:
    return (
        key
        if key.isidentifier() and key not in ("y", "n", "yes", "no", "on", "off", "null", "true", "false")
        else json_text(key)
    )


def _yaml_child(value: Any, indent: int) -> str:
    if isinstance(value, Mapping | list | tuple) and value:
        return "\n" + yaml_text(value, indent + 1)
    return " " + json_text(value)
