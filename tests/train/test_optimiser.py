"""The optimiser that a recipe asks for, with the groups of the method; LARS against its equation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from auricle.config import validate
from auricle.errors import ConfigError
from auricle.methods import create_method
from auricle.train.config import RunConfig
from auricle.train.optimiser import Lars, optimiser_of


def test_a_recipe_chooses_and_groups_keep_their_rates_and_decays() -> None:
    kinds = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "lars": Lars}
    for name, kind in kinds.items():
        recipe = {"optimiser": name, "lr": 0.2, "weight_decay": 0.03, "momentum": 0.8}
        found = optimiser_of(create_method("simclr", "tiny", recipe=recipe))
        assert type(found) is kind
        assert [group["weight_decay"] for group in found.param_groups] == [0.03, 0.0]
        assert all(group["lr"] == 0.2 for group in found.param_groups)
        if name != "adamw":
            assert all(group["momentum"] == 0.8 for group in found.param_groups)


def test_lars_is_its_equation() -> None:
    torch.manual_seed(0)
    matrix, bias = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(4))
    own = [matrix.detach().clone(), bias.detach().clone()]
    groups = [{"params": [matrix], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
    optimiser = Lars(groups, lr=0.5, momentum=0.9)
    velocity = [torch.zeros(4, 3), torch.zeros(4)]
    for number in range(3):
        slopes = [torch.randn(4, 3, generator=torch.Generator().manual_seed(number)), torch.ones(4)]
        matrix.grad, bias.grad = (slope.clone() for slope in slopes)
        optimiser.step()
        change = slopes[0] + 0.1 * own[0]
        scaled = [change * 0.001 * own[0].norm() / change.norm(), slopes[1]]
        for place in (0, 1):
            velocity[place] = 0.9 * velocity[place] + scaled[place]
            own[place] = own[place] - 0.5 * velocity[place]
        torch.testing.assert_close(matrix.detach(), own[0])
        torch.testing.assert_close(bias.detach(), own[1])
    assert optimiser.param_groups[0]["weight_decay"] == 0.1


def test_a_weight_of_zero_is_moved_as_by_sgd() -> None:
    matrix = nn.Parameter(torch.zeros(2, 2))
    matrix.grad = torch.ones(2, 2)
    Lars([{"params": [matrix], "weight_decay": 0.1}], lr=0.5).step()
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), -0.5))


def test_lars_without_decay_is_refused_before_anything_is_trained() -> None:
    model = {"name": "byol", "preset": "tiny", "recipe": {"optimiser": "lars", "weight_decay": 0.0}}
    with pytest.raises(ConfigError, match="lars scales what has a weight decay"):
        validate(RunConfig, {"model": model, "data": {"store": "somewhere"}}, "run")
