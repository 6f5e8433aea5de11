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

from pydantic import Field

from auricle.augment.signal import augment
from auricle.batch import ECGBatch
from auricle.methods._base import Progress, Recipe, Step, split_decay
from auricle.methods._classifier import Classifier, ClassifierConfig
from auricle.methods._gate import AgeGateConfig, attach_age_gate

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


class SupervisedConfig(ClassifierConfig):
    """Settings of supervised training and fine-tuning.

    Attributes:
        gate: the age gate, or None.
        backbone: `full` trains it like the rest, `slow` at `backbone_lr_scale` of the rate, `frozen` not at all.
    """

    name: Literal["supervised"] = "supervised"
    recipe: Recipe = Recipe(lr=1e-3)
    gate: AgeGateConfig | None = None
    backbone: Literal["full", "slow", "frozen"] = "full"
    backbone_lr_scale: Annotated[float, Field(gt=0, le=1)] = 0.1


class Supervised(Classifier):
    """Encoder, optional age gate, linear head."""

    name: ClassVar[str] = "supervised"

    def __init__(self, config: SupervisedConfig) -> None:
        super().__init__(config)
        attach_age_gate(self.encoder, config.gate)
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
        """Cross-entropy over the annotated entries. Terms: `loss`, and `accuracy` over the same entries."""
        del progress
        assert batch.target is not None
        tokens = self.encoder.read(augment(self.preprocess(batch), self.config.augment))
        loss, right = self.classification(tokens, batch.target)
        return Step(loss, {"loss": loss.detach(), "accuracy": right.detach()})

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
