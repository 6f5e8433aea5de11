"""What methods share that are trained on labels: the head, the question's form, and the weights of rare classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from auricle.augment.signal import AugmentConfig
from auricle.batch import ECGBatch
from auricle.encoders import Tokens
from auricle.errors import ConfigError
from auricle.losses.supervised import balancing_weights, masked_bce, masked_cross_entropy, one_class
from auricle.methods._base import Method, MethodConfig
from auricle.nn.heads import classifier
from auricle.over_age import AnswerSets, CalibrationOverAge

if TYPE_CHECKING:
    from auricle.data.loader import Seen


class AnsweringConfig(MethodConfig):
    """Settings of every method with a head for classes.

    Attributes:
        classes: names of the classes; set from the task.
        task: id of the task they belong to.
        answers: `multi_label`, each class for itself (sigmoid), or `single_label`, one of all (softmax).
        calibration: by class, a factor and a shift of its logit, fitted on records that training did not see
            (`auricle calibrate`); a class that is not named keeps its logit.
        over_age: factors and shifts that depend on the age, in place of `calibration` where they are there.
        sets: which answers stand beside a probability at an age; None where none were fitted.
        dropout: in front of the head.
    """

    classes: tuple[str, ...] = ("positive",)
    task: str = ""
    answers: Literal["multi_label", "single_label"] = "multi_label"
    calibration: dict[str, tuple[float, float]] = Field(default_factory=dict)
    over_age: CalibrationOverAge | None = None
    sets: AnswerSets | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _of_its_classes(self) -> AnsweringConfig:
        told: dict[str, set[str]] = {"calibration": set(self.calibration)}
        told["over_age"] = set() if self.over_age is None else set(self.over_age.factor)
        told["sets"] = set() if self.sets is None else set(self.sets.has)
        for key, names in told.items():
            unknown = sorted(names - set(self.classes))
            if unknown:
                raise ValueError(f"{key} of {unknown[0]}, which is none of the classes")
        return self


class ClassifierConfig(AnsweringConfig):
    """Settings of every method that is trained on labels alone.

    Attributes:
        class_weights: rare classes weigh more, see `auricle.losses.supervised.balancing_weights`.
    """

    class_weights: bool = False
    augment: AugmentConfig = AugmentConfig()


class Answering(Method):
    """An encoder and a linear head for classes, whatever else is learned beside it."""

    def __init__(self, config: AnsweringConfig) -> None:
        super().__init__(config)
        self.head = classifier(self.encoder.width, len(config.classes), config.dropout)

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

    def calibrated(self, logits: Tensor, age_days: Tensor | None = None) -> Tensor:
        """(b, c) logits by the factor and shift of each class; as they are where the weights are not calibrated.

        Args:
            logits: (b, c) of records.
            age_days: (b,) their ages, NaN where unknown; None where all are. Weights that are told no age, or another's
                (`input.age`), are calibrated as for an unknown one.
        """
        over_age: CalibrationOverAge | None = self.config.over_age
        if over_age is not None:
            ages = logits.new_full(logits.shape[:1], torch.nan)
            if age_days is not None and self.config.input.age == "own":
                ages = age_days
            return over_age.calibrated(logits, ages, self.class_names)
        if not self.config.calibration:
            return logits
        pairs = [self.config.calibration.get(name, (1.0, 0.0)) for name in self.class_names]
        factor, shift = torch.tensor(pairs, dtype=logits.dtype, device=logits.device).T
        calibrated: Tensor = factor * logits + shift
        return calibrated

    def probabilities(self, logits: Tensor, age_days: Tensor | None = None) -> Tensor:
        """(b, c) each class for itself, or one of all classes; calibrated where the weights are.

        Args:
            logits: (b, c) of records.
            age_days: (b,) their ages, NaN where unknown; None where all are.
        """
        return self.squashed(self.calibrated(logits, age_days))

    def squashed(self, logits: Tensor) -> Tensor:
        """(b, c) probabilities of calibrated logits: each class for itself, or one of all classes."""
        return logits.softmax(-1) if self.config.answers == "single_label" else logits.sigmoid()


class Classifier(Answering):
    """An encoder and a linear head, trained on labels alone."""

    needs: ClassVar[frozenset[str]] = frozenset({"target"})

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__(config)
        if config.class_weights:
            self.register_buffer("class_weight", torch.ones(2, len(config.classes)))

    def prepare(self, view: Seen) -> None:
        """Weigh the classes by how often training meets them.

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
            times = None if view.times is None else torch.from_numpy(view.times)
            self.get_buffer("class_weight").copy_(balancing_weights(target, exclusive, times))

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
