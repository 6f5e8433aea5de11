"""As much of JSON Schema (2020-12) as our own schemas use; a word that is not known here is an error, not ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
SAID = {"description", "title", "$schema", "$defs", "format"}
KNOWN = {"type", "const", "enum", "properties", "required", "additionalProperties", "items", "anyOf", "$ref"} | SAID


def faults(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any], place: str = "$") -> Iterator[str]:
    """What is wrong with a value, each with its place; nothing where it is valid."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        yield from faults(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, place)
    if "const" in schema and value != schema["const"]:
        yield f"{place}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        is_one = any(isinstance(value, KINDS[kind]) for kind in kinds)
        if not is_one or (isinstance(value, bool) and "boolean" not in kinds):
            yield f"{place}: {value!r} is no {' or '.join(kinds)}"
            return
    if "anyOf" in schema:
        tried = [list(faults(value, one, whole, place)) for one in schema["anyOf"]]
        if all(tried):
            yield from min(tried, key=len)
    if isinstance(value, dict):
        yield from (f"{place}: has no {name}" for name in schema.get("required", ()) if name not in value)
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name, inner in value.items():
            yield from faults(inner, known.get(name, others), whole, f"{place}.{name}")
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from faults(inner, schema.get("items", {}), whole, f"{place}[{number}]")
