"""Configuration: partial tables are laid over the defaults of the class that has them, in presets and in overrides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from auricle.config import Config, configure, validate
from auricle.encoders import ENCODERS
from auricle.methods import METHODS
from auricle.registry import Registry
from auricle.train.config import RunConfig


def presets() -> Iterator[Any]:
    for registry in (METHODS, ENCODERS):
        for name in registry.names():
            for preset in (None, *registry.get(name).presets):
                yield pytest.param(registry, name, preset, id=f"{name}-{preset}")


def nested(config: Config) -> dict[str, Config]:
    return {key: value for key, value in config if isinstance(value, Config)}


@pytest.mark.parametrize(("registry", "name", "preset"), [*presets()])
def test_a_preset_leaves_what_it_does_not_name(registry: Registry, name: str, preset: str | None) -> None:
    entry = registry.get(name)
    config, given = configure(registry, {"name": name, "preset": preset}), entry.presets.get(preset or "", {})
    for key, field in entry.config_class.model_fields.items():
        default, table = field.get_default(call_default_factory=True), given.get(key, {})
        # Another component than the default one (views, encoders) has defaults of its own.
        if not isinstance(default, Config) or table.get("name", getattr(default, "name", None)) != getattr(
            default, "name", None
        ):
            continue
        for sibling in default.model_dump().keys() - table.keys():
            assert getattr(getattr(config, key), sibling) == getattr(default, sibling), f"{key}.{sibling}"


@pytest.mark.parametrize(("registry", "name", "preset"), [*presets()])
def test_an_override_of_one_setting_leaves_its_siblings(registry: Registry, name: str, preset: str | None) -> None:
    config = configure(registry, {"name": name, "preset": preset})
    for key, table in nested(config).items():
        for setting, value in table.model_dump().items():
            if setting != "name":
                assert configure(registry, {"name": name, "preset": preset, key: {setting: value}}) == config


def test_the_cases_of_the_documents() -> None:
    """A learning rate alone keeps mirage's warm-up and weight decay; a gain alone drops no lead of merl's."""
    recipe = configure(METHODS, {"name": "mirage", "preset": "paper", "recipe": {"lr": 1e-4}}).recipe
    assert (recipe.lr, recipe.warmup, recipe.weight_decay) == (1e-4, 0.13, 0.01)
    augment = configure(METHODS, {"name": "merl", "augment": {"gain": 0.1}}).augment
    assert (augment.gain, augment.lead_drop_records, augment.noise_mv) == (0.1, 0.0, 0.0)


def test_a_component_without_a_name_is_the_default_one() -> None:
    encoder = configure(METHODS, {"name": "merl", "encoder": {"width": 16}}).encoder
    assert (encoder.name, encoder.width) == ("resnet1d", 16)
    named = configure(METHODS, {"name": "merl", "encoder": {"name": "vit1d"}}).encoder
    assert named == configure(ENCODERS, "vit1d")


def test_a_saved_configuration_is_read_back_as_it_was() -> None:
    values = {"model": {"name": "acl_ecg", "preset": "generic"}, "data": {"store": "s"}, "train": {"seed": 3}}
    config = validate(RunConfig, values, "run")
    assert validate(RunConfig, config.model_dump(), "run") == config
