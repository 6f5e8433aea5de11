"""What methods share that are trained on labels: the head, the question's form, and the weights of rare classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from auricle.augment.signal import AugmentConfig
from auricle.batch import ECGBatch
from auricle.encoders import Tokens
from auricle.errors import ConfigError
from auricle.losses.supervised import balancing_weights, masked_bce, masked_cross_entropy, one_class
from auricle.methods._base import Method, MethodConfig
from auricle.nn.heads import classifier

if TYPE_CHECKING:
    from auricle.data.loader import View


class ClassifierConfig(MethodConfig):
    """Settings of every method that is trained on labels.

    Attributes:
        classes: names of the classes; set from the task.
        task: id of the task they belong to.
        answers: `multi_label`, each class for itself (sigmoid), or `single_label`, one of all (softmax).
        class_weights: rare classes weigh more, see `auricle.losses.supervised.balancing_weights`.
        dropout: in front of the head.
    """

    classes: tuple[str, ...] = ("positive",)
    task: str = ""
    answers: Literal["multi_label", "single_label"] = "multi_label"
    class_weights: bool = False
    augment: AugmentConfig = AugmentConfig()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class Classifier(Method):
    """An encoder and a linear head."""

    needs: ClassVar[frozenset[str]] = frozenset({"target"})

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__(config)
        self.head = classifier(self.encoder.width, len(config.classes), config.dropout)
        if config.class_weights:
            self.register_buffer("class_weight", torch.ones(2, len(config.classes)))

    def prepare(self, view: View) -> None:
        """Weigh the classes by how often they occur in training.

        Raises:
            ConfigError: one class is to be chosen, and no record has exactly one.
        """
        super().prepare(view)
        assert view.targets is not None
        target = torch.from_numpy(view.targets[view.rows])
        exclusive = self.config.answers == "single_label"
        if exclusive and not bool(one_class(target).any()):
            raise ConfigError(f"no record has exactly one class of {self.config.task}: set model.answers=multi_label")
        if self.config.class_weights:
            self.get_buffer("class_weight").copy_(balancing_weights(target, exclusive))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        names: tuple[str, ...] = self.config.classes
        return names

    def logits(self, batch: ECGBatch) -> Tensor:
        """(b, c) logits of a batch as it comes from the loader."""
        return self.classify(self.encode(batch))

    def classify(self, tokens: Tokens) -> Tensor:
        """(b, c) logits of encoded recordings."""
        scores: Tensor = self.head(tokens.pooled)
        return scores

    def probabilities(self, logits: Tensor) -> Tensor:
        """(b, c) each class for itself, or one of all classes."""
        return logits.softmax(-1) if self.config.answers == "single_label" else logits.sigmoid()

    def classification(self, tokens: Tokens, target: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of encoded recordings, and the share of answers that are right."""
        logits = self.classify(tokens)
        weight = self.get_buffer("class_weight") if self.config.class_weights else None
        if self.config.answers == "single_label":
            loss = masked_cross_entropy(logits, target, weight)
            right = (logits.argmax(-1) == target.nan_to_num().argmax(-1))[one_class(target)]
        else:
            loss = masked_bce(logits, target, weight)
            right = ((logits > 0).float() == target)[~torch.isnan(target)]
        return loss, right.float().mean()
