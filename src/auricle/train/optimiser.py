"""The optimiser of a method, as its recipe asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch.optim import SGD, AdamW, Optimizer

from auricle.methods import Method, Recipe

# LARS: share of the norm of the weights that a step may be, before the learning rate.
_TRUST: Final = 0.001


class Lars(SGD):
    """SGD with momentum whose rate for each decayed matrix follows the norm of its weights over that of its gradient.

    Source: You et al. 2017, "Large batch training of convolutional networks". Groups without weight decay (biases,
    norms, tables) are left as SGD has them, as BYOL and Barlow Twins do.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; decay is part of the gradient that is scaled."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            if not group["weight_decay"]:
                continue
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                weights, change = parameter.norm(), gradient.norm()
                trust = torch.where((weights > 0) & (change > 0), _TRUST * weights / change, 1.0)
                parameter.grad = gradient * trust
            group["weight_decay"] = 0.0
        super().step()
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return loss


def optimiser_of(method: Method) -> Optimizer:
    """The optimiser of a method's trainable parameters, with the rates and decays of its groups."""
    recipe: Recipe = method.config.recipe
    groups: list[dict[str, Any]] = [
        {**group, "lr": recipe.lr * group.get("lr_scale", 1.0)} for group in method.param_groups()
    ]
    if recipe.optimiser == "adamw":
        return AdamW(groups, lr=recipe.lr, betas=recipe.betas)
    kind = Lars if recipe.optimiser == "lars" else SGD
    return kind(groups, lr=recipe.lr, momentum=recipe.momentum)
