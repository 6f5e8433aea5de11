"""What every method is: an objective over encoders, with its needs, its step, its embedding and its recipe.

The training loop knows this class and no other; evaluation asks for an ability (`AlignsText`, `Classifies`) and never
for a class.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.config import ComponentConfig, Config, component
from auricle.data.panel import LabPanel
from auricle.encoders import ENCODERS, EncoderModule, Tokens, build_encoder
from auricle.errors import ConfigError, DataError
from auricle.nn.film import Code
from auricle.nn.lab_code import LabCode
from auricle.signal.preprocess import InputSpec, Preprocess
from auricle.text.towers import Tower

if TYPE_CHECKING:
    from auricle.data.loader import Seen

# Parameters that are tables of vectors, one for each lead, region, place, code or query, and biases between leads.
_LOOKED_UP: Final = frozenset({"identity", "position", "bias", "entries", "queries"})


class Recipe(Config):
    """How a method is optimised: linear warm-up, cosine to a tenth, gradient clipping.

    Attributes:
        optimiser: `adamw`; `sgd` with momentum; or `lars`, the same with a rate for each matrix that follows its norm.
        lr: peak learning rate.
        weight_decay: on what maps, never on biases, norms or embeddings (`split_decay`).
        betas: of AdamW.
        momentum: of the other two.
        warmup: share of the steps over which the rate rises.
        clip: largest gradient norm.
    """

    optimiser: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    clip: Annotated[float, Field(gt=0)] = 1.0


class MethodConfig(ComponentConfig):
    """What all methods have: what they read, the encoder, and the recipe.

    Attributes:
        labs: laboratory values that modulate the encoder, or None where none are read.
    """

    input: InputSpec = InputSpec()
    labs: LabPanel | None = None
    encoder: component(ENCODERS) = Field(default={"name": "lead_groups", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where in the run a step is; schedules of a method are functions of it."""

    step: int
    n_steps: int

    @property
    def share(self) -> float:
        """How much of the run is done, 0 to 1."""
        return self.step / max(1, self.n_steps)


@dataclass(frozen=True, slots=True)
class Step:
    """What one training step says: the loss to minimise and the named terms to show."""

    loss: Tensor
    terms: dict[str, Tensor]


class Method(nn.Module, ABC):
    """Base of all methods. A subclass sets `needs`, implements `step`, and may override the rest.

    Attributes:
        needs: what the batches must carry beside the signal: "embedding", "findings", "tokens", "target".
        report_optional: whether a recording without a report still teaches a method that reads reports.
        same_patient: whether the records of one patient are positives, so that batches should have several of them,
            and the training records must be of several patients.
        encoder: the ECG encoder, the part that is evaluated and fine-tuned.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    report_optional: ClassVar[bool] = False
    same_patient: ClassVar[bool] = False
    name: ClassVar[str]

    def __init__(self, config: MethodConfig) -> None:
        super().__init__()
        self.config: Any = config
        self.preprocess = Preprocess(config.input)
        self.encoder: EncoderModule = build_encoder(config.encoder, config.input)
        if config.labs is not None:
            self.encoder.attach("labs", LabCode(config.labs))

    @property
    def reads_age(self) -> bool:
        """Whether an age changes what the encoder makes of a record: by its gates, or by the laboratory values'
        place in the reference range of the age; never where none is told (`input.age`)."""
        codes = (code for code in self.encoder.codes.values() if isinstance(code, Code))
        return self.config.input.age != "unknown" and any(code.reads_age for code in codes)

    @property
    def has_age_gate(self) -> bool:
        """Whether the encoder has gates for the age, and is told one (`input.age`)."""
        return "age" in self.encoder.codes and self.config.input.age != "unknown"

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures the encoder reads; None where signals alone are read, as by `input.only`."""
        if self.config.input.reads_part:
            return None
        sizes = (part.picture_size for part in self.encoder.parts())
        return next((size for size in sizes if size is not None), None)

    def prepare(self, view: Seen) -> None:
        """Fit once, before training, what depends on the training records as a whole: here the scale of the labs.

        A scale that came with the weights training starts from is kept, as is what was learned on it.

        Raises:
            ConfigError: laboratory values are to be read, and no training record has any.
            DataError: the method tells patients apart, and all records are of one.
        """
        if self.same_patient and view.store is not None and len(np.unique(view.store.patients[view.rows])) < 2:
            raise DataError(
                f"{view.store.path}: all {len(view.rows)} training records are of one patient, and {self.name} tells "
                "patients apart: train on several"
            )
        if self.config.labs is None:
            return
        code = self.encoder.codes["labs"]
        assert isinstance(code, LabCode)
        if view.store is None:
            raise ConfigError(
                "a mixture of streams carries no laboratory values yet: leave model.labs out, or train on a store"
            )
        values, mask = code.panel.of_store(view.store, view.rows)
        if code.fitted:
            if not mask.any():
                warnings.warn(f"{view.store.path}: has none of the laboratory values the weights read", stacklevel=2)
            return
        if not mask.any():
            raise ConfigError(
                f"{view.store.path}: no training record has a value of {', '.join(code.panel.tests)}: ingest them as "
                "`lab:NAME` columns, widen model.labs (earliest_min, latest_min, needs_time), or leave model.labs out"
            )
        code.fit(values, mask)
        untimed = code.panel.untimed(view.store, view.rows)
        if untimed:
            warnings.warn(
                f"{view.store.path}: {untimed} laboratory values without a time are taken as drawn before the ECG; "
                "give `lab_minutes:NAME` columns, or leave them out with model.labs.needs_time=true",
                stacklevel=2,
            )

    def take_over(self, donor: Method) -> None:
        """Keep what another run, whose encoder this one begins from, has learned beside it. By default nothing.

        Args:
            donor: the other run's method.

        Raises:
            ConfigError: it is none that this one can follow.
        """

    @abstractmethod
    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """The objective on one batch, as it comes from the loader."""

    def after_step(self, progress: Progress) -> None:
        """Called after the optimiser (moving averages, queues). By default nothing."""

    def encode(self, batch: ECGBatch) -> Tokens:
        """Preprocess and encode a batch as it comes from the loader, without augmentation."""
        return self.encode_ready(self.preprocess(batch))

    def encode_ready(self, ready: ECGBatch) -> Tokens:
        """Encode a batch that has been preprocessed."""
        return self.encoder.read(ready)

    def embed(self, batch: ECGBatch) -> Float[Tensor, "b width"]:
        """The representation that probes read."""
        return self.encode(batch).pooled

    def param_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters for the optimiser, decay on matrices only; `lr_scale` multiplies the recipe's rate."""
        return split_decay(self, self.config.recipe.weight_decay)


def split_decay(module: nn.Module, weight_decay: float, lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Optimiser groups of a module's trainable parameters: weight decay for what maps, none for what is looked up."""
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}

    def decays(name: str, parameter: nn.Parameter) -> bool:
        looked_up = id(parameter) in tables or name.rpartition(".")[2] in _LOOKED_UP
        return parameter.ndim >= 2 and not looked_up

    trainable = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for name, p in trainable if decays(name, p)], "weight_decay": weight_decay, "lr_scale": lr_scale},
        {"params": [p for name, p in trainable if not decays(name, p)], "weight_decay": 0.0, "lr_scale": lr_scale},
    ]
    return [group for group in groups if group["params"]]


@runtime_checkable
class ReadsEmbeddings(Protocol):
    """What a method must have that needs "embedding": the name of the frozen tower that embeds its reports."""

    text_tower: str


@runtime_checkable
class ReadsTokens(Protocol):
    """What a method must have that needs "tokens": the most entries of the vocabulary its reports are cut into."""

    vocabulary_size: int


@runtime_checkable
class AlignsText(Protocol):
    """The ability to compare recordings with sentences."""

    text_tower: str
    prompt_sets: dict[str, tuple[str, ...]]

    def tower(self) -> Tower:
        """What embeds sentences for `project_text`."""
        ...

    def project(self, batch: ECGBatch) -> Tensor:
        """(b, d) unit vectors of recordings."""
        ...

    def project_text(self, embedding: Tensor) -> Tensor:
        """(n, d) unit vectors of sentences, from the tower's embeddings."""
        ...

    def keep_prompts(self, task_id: str, class_names: Sequence[str], embedding: Tensor) -> None:
        """Store a task's prompt embeddings (c, width) with the weights, so prediction needs no text encoder."""
        ...

    def prompt_scores(self, batch: ECGBatch, task_id: str) -> Tensor:
        """(b, c) cosine of each recording with each class's prompt."""
        ...

    def compare(self, tokens: Tokens, task_id: str) -> Tensor:
        """(b, c) cosine of each encoded recording with each class's prompt."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """The ability to give logits for the classes it was fine-tuned on."""

    class_names: tuple[str, ...]

    def logits(self, batch: ECGBatch) -> Tensor:
        """(b, c) logits of a batch as it comes from the loader."""
        ...

    def classify(self, tokens: Tokens) -> Tensor:
        """(b, c) logits of encoded recordings."""
        ...

    def probabilities(self, logits: Tensor, age_days: Tensor | None = None) -> Tensor:
        """(b, c) probabilities of logits: each class for itself, or one of all classes, as it was trained.

        Args:
            logits: (b, c) of records.
            age_days: (b,) their ages, NaN where unknown, for what is calibrated by age; None where all are unknown.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """All leads of a model's lead axis as it believes them to be, also those that were absent.

    Leads that were shown are the model's belief of them, or as they were with a deviation of 0 where it is handed them.

    Attributes:
        mean: (b, l, t) in the unit and at the rate of the preprocessed signal.
        std: (b, l, t) how far the truth may lie from it, one standard deviation.
    """

    mean: Float[Tensor, "b l t"]
    std: Float[Tensor, "b l t"]


@runtime_checkable
class Reconstructs(Protocol):
    """The ability to draw the leads that were not recorded."""

    def reconstruct(self, batch: ECGBatch) -> Reconstruction:
        """Every lead of a batch as it comes from the loader, from the leads that are present in it."""
        ...
