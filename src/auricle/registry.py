"""Names to classes: the module file's name is the component's name, and nothing is imported before it is asked for.

A component `lead_groups` lives in `lead_groups.py` as `LeadGroups` with `LeadGroupsConfig` and `PRESETS` beside it.
Other people's packages add theirs through an entry point of the registry's group that points at such a module.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from auricle.errors import ConfigError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered component: its class, its configuration class, and named presets (overrides of the defaults)."""

    name: str
    cls: type[Any]
    config_class: type[Any]
    presets: Mapping[str, Mapping[str, Any]]

    @property
    def summary(self) -> str:
        """The first line of the module's docstring."""
        return (import_module(self.cls.__module__).__doc__ or "").strip().splitlines()[0]

    def expand(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` with their `preset` (if any) laid under them, and with the component's name."""
        given = {key: value for key, value in values.items() if key != "preset"} | {"name": self.name}
        preset = values.get("preset")
        if preset is None:
            return given
        if preset not in self.presets:
            raise UnknownNameError(f"preset of {self.name}", str(preset), self.presets)
        return merge(self.presets[preset], given)


class Registry:
    """The components of one kind, found in a package of ours and in an entry-point group for everyone else's."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package

    @cached_property
    def _modules(self) -> dict[str, str]:
        spec = find_spec(self._package)
        assert spec is not None
        found = {
            module.name: f"{self._package}.{module.name}"
            for module in pkgutil.iter_modules(spec.submodule_search_locations)
            if not module.name.startswith("_") and not module.ispkg
        }
        return found | {point.name: point.value for point in entry_points(group=self._package)}

    def names(self) -> list[str]:
        """Every name, in alphabetical order, without importing anything."""
        return sorted(self._modules)

    def get(self, name: str) -> Entry:
        """The component of this name.

        Raises:
            UnknownNameError: nothing goes by it; the message suggests the nearest.
            ConfigError: the module breaks the naming convention.
        """
        if name not in self._modules:
            raise UnknownNameError(self.kind, name, self._modules)
        return _entry(name, import_module(self._modules[name]))


def _entry(name: str, module: ModuleType) -> Entry:
    camel = "".join(part.capitalize() for part in name.split("_"))
    try:
        return Entry(name, getattr(module, camel), getattr(module, f"{camel}Config"), getattr(module, "PRESETS", {}))
    except AttributeError as error:
        raise ConfigError(f"{module.__name__} must define {camel} and {camel}Config: {error}") from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on top; tables are merged key by key, everything else is replaced.

    A table that names another component (`name` differs) replaces the old one whole: the keys of one encoder mean
    nothing to another.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same_component = value.get("name", old.get("name")) == old.get("name")
            merged[key] = merge(old, value) if same_component else dict(value)
        else:
            merged[key] = value
    return merged
