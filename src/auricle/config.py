"""Configuration: pydantic models filled from presets, TOML files and dotted overrides; unknown keys are refused.

Every resolved configuration is written to the run folder as TOML and is itself a valid input.
"""

from __future__ import annotations

import difflib
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, ValidationError, model_validator
from pydantic.fields import FieldInfo

from auricle.atomic import write_bytes
from auricle.errors import ConfigError, UnknownNameError
from auricle.registry import Registry, merge

# What was given is told up to so many letters.
_LONGEST_GIVEN: Final = 120

Model = TypeVar("Model", bound="Config")


class Config(BaseModel):
    """Base of every configuration: immutable, and refuses keys it does not know.

    A table for a nested configuration is laid over the default that this class has for it, whoever gives the table (a
    preset, a file, an override): who sets `recipe.lr` has not asked for another warm-up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _over_the_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {key: _over_default(cls.model_fields.get(key), value) for key, value in values.items()}


def _over_default(field: FieldInfo | None, value: Any) -> Any:
    """A partial table, completed by the default of its field; anything else as it is."""
    if field is None or not isinstance(value, Mapping):
        return value
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, Config):
        return merge({"table": default.model_dump()}, {"table": value})["table"]
    # A component that is not named is the default one; one that is named is completed by its own class.
    if isinstance(default, Mapping) and "name" in default and "name" not in value:
        return merge(default, value)
    return value


class ComponentConfig(Config):
    """Configuration of something a registry builds. `name` is the registered name and is kept in saved files."""

    name: str


def component(registry: Registry) -> Any:
    """The type of a configuration field that holds any component of `registry`, as a table with `name` and `preset`."""

    def resolve(value: Any) -> Any:
        return configure(registry, value) if isinstance(value, str | Mapping) else value

    return Annotated[SerializeAsAny[ComponentConfig], BeforeValidator(resolve)]


def configure(registry: Registry, value: str | Mapping[str, Any]) -> Any:
    """The validated configuration of a component: its name alone, or a table with `name`, `preset` and overrides.

    Raises:
        ConfigError: there is no name, or a key is wrong; says which and suggests the nearest.
    """
    values = {"name": value} if isinstance(value, str) else value
    if "name" not in values:
        raise ConfigError(f"a {registry.kind} needs a name: one of {', '.join(registry.names())}")
    entry = registry.get(values["name"])
    return validate(entry.config_class, entry.expand(values), entry.name)


def validate(model: type[Model], values: Mapping[str, Any], where: str = "configuration") -> Model:
    """Validate, with errors a person can act on: which key, what is wrong with it, and what was probably meant.

    Raises:
        ConfigError: on the first wrong key, in one line.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _keys_at(model, first["loc"][:-1])
            near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
            listed = f": known here: {', '.join(sorted(known))}" if known else ""
            hint = f": did you mean {near[0]!r}?" if near else listed
            raise ConfigError(f"{where}: unknown key {path!r}{hint}") from None
        given = _given_at(values, first["loc"], first["input"])
        shown = f" (got {textwrap.shorten(repr(given), _LONGEST_GIVEN, placeholder=' ...')})"
        own = first["type"] == "value_error"
        if own and isinstance(given, Mapping):  # several settings do not fit each other, and the message names them
            shown = ""
        message = str(first["ctx"]["error"]) if own else first["msg"]
        raise ConfigError(f"{where}: {f'{path}: ' if path else ''}{message}{shown}") from None


def _given_at(values: Any, path: Iterable[int | str], otherwise: Any) -> Any:
    """What was given at a place, without the defaults it was laid over; `otherwise` if nothing was."""
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return otherwise
        values = values[part]
    return values


def _keys_at(model: type[BaseModel], path: Iterable[int | str]) -> set[str]:
    """The keys that are known at a place of a configuration; none where it cannot be told."""
    models, parts = [model], iter(path)
    for part in parts:
        if isinstance(part, int):  # a place in a list
            continue
        fields = [one.model_fields[part] for one in models if part in one.model_fields]
        if not fields:  # the tag by which one of several kinds is chosen
            tags = [{get_args(kind.annotation) for kind in one.model_fields.values()} for one in models]
            models = [one for one, own in zip(models, tags, strict=True) if (part,) in own]
            continue
        models = [found for field in fields for found in _nested(field.annotation)]
        if any(_is_table(field.annotation) for field in fields):
            next(parts, None)
    return {name for one in models for name in one.model_fields}


def _nested(kind: Any) -> list[type[BaseModel]]:
    """The configurations that a type is or holds."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [found for inner in get_args(kind) for found in _nested(inner)]


def _is_table(kind: Any) -> bool:
    """Whether a type holds a table whose keys are names of the user's."""
    return get_origin(kind) is dict or any(_is_table(inner) for inner in get_args(kind))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


class Catalogue:
    """TOML files of one kind that come along, found by name; a path that ends in .toml is a file of the user's own.

    Args:
        kind: what they are called in messages.
        folder: where they lie; a file in a folder below is called `folder/name`.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder = kind, folder

    def names(self) -> list[str]:
        """All names, in alphabetical order."""
        return sorted(
            path.relative_to(self._folder).with_suffix("").as_posix() for path in self._folder.rglob("*.toml")
        )

    def find(self, name: str | Path) -> Path:
        """The file of a name, or the user's own file as it was given (whether it is there or not).

        Raises:
            UnknownNameError: nothing goes by this name; suggests the nearest.
        """
        if Path(name).suffix == ".toml":
            return Path(name)
        if str(name) not in self.names():
            raise UnknownNameError(self.kind, str(name), self.names())
        return self._folder / f"{name}.toml"


def with_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Lay dotted assignments over a configuration: `train.steps=200`, `model.encoder.preset=tiny`, `leads=["I", "II"]`.

    Raises:
        ConfigError: an override is not of the form key=value.
    """
    merged = dict(values)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"override {text!r}: write it as key=value, for example train.steps=200")
        nested: Any = _literal(value.strip())
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        merged = merge(merged, nested)
    return merged


def _literal(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value  # an unquoted string, as one types it in a shell


def dump(config: Config) -> dict[str, Any]:
    """A configuration as plain data, without the keys that are None (TOML has no null)."""
    plain: dict[str, Any] = _without_none(config.model_dump(mode="json"))
    return plain


def write_toml(config: Config, path: Path) -> None:
    """Write a resolved configuration, a valid input again, whole or not at all."""
    write_bytes(path, tomli_w.dumps(dump(config)).encode())


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
