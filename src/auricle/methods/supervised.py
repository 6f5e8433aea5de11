"""supervised: an encoder, a linear head and, if wanted, an age gate; from scratch or from another method's weights.

Source: LISA proposal 3.4 (Age-Gated Adaptator: FiLM after every block, from a number in [0, 1]) and 1.5 of its
experiments. Idea: (1) take any encoder; (2) put a fresh gate at every modulation point, at first the identity; (3) let
age also act on the weights between lead groups and on the gain of each scale; (4) train head and gates, the backbone
frozen, slow or fully. The same class without gate and without weights is the from-scratch baseline of every table.
Inputs: signal, targets, age (may be unknown). Differences from the proposal: one gamma and beta pair per lead group,
and a learned code for an unknown age, shown for a tenth of the training records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR
from auricle.augment.signal import augment
from auricle.batch import ECGBatch
from auricle.config import Config
from auricle.losses.invariance import adversary_strength, domain_loss, mmd, reversed_gradient
from auricle.methods._base import Progress, Recipe, Step, split_decay
from auricle.methods._classifier import Classifier, ClassifierConfig
from auricle.methods._gate import AgeGateConfig, attach_age_gate

# Width of the hidden layer of the adversary that tells ages.
_ADVERSARY: Final = 64
_TINY_INPUT: Final = {"rate_hz": 250, "seconds": 2.0}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"input": _TINY_INPUT, "encoder": {"name": "lead_groups", "preset": "tiny"}, "gate": {}},
    "nano": {"input": {"rate_hz": 250}, "encoder": {"name": "lead_groups", "preset": "nano"}},
    "small": {"encoder": {"name": "lead_groups", "preset": "small"}},
    "base": {"encoder": {"name": "lead_groups", "preset": "base"}},
    "resnet_nano": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "resnet1d", "preset": "nano"},
    },
    "shared": {"encoder": {"name": "resnet1d", "preset": "small"}},
}


class InvarianceConfig(Config):
    """Features in which ages cannot be told apart: what a gate by age is compared with (`auricle.losses.invariance`).

    Attributes:
        by: `dann`, an adversary that tells the age, or `mmd`, the distance between the features of ages.
        weight: of the objective beside the labels' loss.
        edges_days: ages at which one domain ends and the next begins; a record of unknown age takes no part.
    """

    by: Literal["dann", "mmd"]
    weight: Annotated[float, Field(gt=0)] = 0.1
    edges_days: Annotated[tuple[float, ...], Field(min_length=1)] = (DAYS_PER_MONTH, DAYS_PER_YEAR, 8 * DAYS_PER_YEAR)

    @model_validator(mode="after")
    def _rises(self) -> InvarianceConfig:
        if list(self.edges_days) != sorted(set(self.edges_days)):
            raise ValueError(f"edges_days must rise: {self.edges_days}")
        return self


class SupervisedConfig(ClassifierConfig):
    """Settings of supervised training and fine-tuning.

    Attributes:
        gate: the age gate, or None.
        backbone: `full` trains it like the rest, `slow` at `backbone_lr_scale` of the rate, `frozen` not at all.
        invariance: make the features of all ages alike, or None.
    """

    name: Literal["supervised"] = "supervised"
    recipe: Recipe = Recipe(lr=1e-3)
    gate: AgeGateConfig | None = None
    backbone: Literal["full", "slow", "frozen"] = "full"
    backbone_lr_scale: Annotated[float, Field(gt=0, le=1)] = 0.1
    invariance: InvarianceConfig | None = None

    @model_validator(mode="after")
    def _has_features_to_change(self) -> SupervisedConfig:
        if self.invariance is not None and self.backbone == "frozen":
            raise ValueError("invariance changes what the backbone makes, and backbone=frozen keeps it")
        return self


class Supervised(Classifier):
    """Encoder, optional age gate, linear head."""

    name: ClassVar[str] = "supervised"

    def __init__(self, config: SupervisedConfig) -> None:
        super().__init__(config)
        attach_age_gate(self.encoder, config.gate)
        if config.invariance is not None and config.invariance.by == "dann":
            n_domains = len(config.invariance.edges_days) + 1
            self.adversary = nn.Sequential(
                nn.Linear(self.encoder.width, _ADVERSARY), nn.ReLU(), nn.Linear(_ADVERSARY, n_domains)
            )
        if config.backbone == "frozen":
            gates = {id(parameter) for parameter in self.encoder.gate_parameters()}
            for parameter in self.encoder.parameters():
                parameter.requires_grad_(id(parameter) in gates)

    def train(self, mode: bool = True) -> Supervised:
        """Set training mode, of a frozen backbone its codes alone: its batch norm must not go on adapting."""
        super().train(mode)
        if self.config.backbone == "frozen":
            self.encoder.eval()
            # Codes hide ages and values in training mode; otherwise the code of "unknown" would never be learned.
            self.encoder.codes.train(mode)
        return self

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Cross-entropy over the annotated entries, and what makes ages alike where that is wanted.

        Terms: `loss`, `accuracy` over the same entries, and `invariance` before its weight.
        """
        assert batch.target is not None
        tokens = self.encoder.read(augment(self.preprocess(batch), self.config.augment))
        loss, right = self.classification(tokens, batch.target)
        terms = {"accuracy": right.detach()}
        if self.config.invariance is not None:
            alike = self._invariance(tokens.pooled, batch.age_days, progress)
            loss = loss + self.config.invariance.weight * alike
            terms["invariance"] = alike.detach()
        return Step(loss, {"loss": loss.detach(), **terms})

    def _invariance(self, pooled: Tensor, age_days: Tensor, progress: Progress) -> Tensor:
        """Scalar objective on (b, width) features by which they are to lose the age."""
        known = ~torch.isnan(age_days)
        edges = torch.tensor(self.config.invariance.edges_days, device=age_days.device)
        domain = torch.bucketize(age_days.nan_to_num(), edges, right=True)
        if self.config.invariance.by == "mmd":
            return mmd(pooled, domain, known)
        told = self.adversary(reversed_gradient(pooled, adversary_strength(progress.share)))
        return domain_loss(told, domain, known)

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters in groups: head and gates at the recipe's rate, a slow backbone at `backbone_lr_scale` of it."""
        groups = split_decay(self, self.config.recipe.weight_decay)
        if self.config.backbone != "slow":
            return groups
        gates = {id(parameter) for parameter in self.encoder.gate_parameters()}
        slow = {id(parameter) for parameter in self.encoder.parameters()} - gates
        parted = []
        for group in groups:
            for is_slow in (False, True):
                members = [parameter for parameter in group["params"] if (id(parameter) in slow) == is_slow]
                if members:
                    scale = self.config.backbone_lr_scale if is_slow else 1.0
                    parted.append({**group, "params": members, "lr_scale": scale})
        return parted
