"""What methods share that align recordings with reports: two projections, the prompts, and comparing them.

`Comparing` asks where sentences come from no more than it must; `Aligned` takes them from a frozen text tower.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig
from auricle.batch import ECGBatch
from auricle.config import Config
from auricle.encoders import Tokens
from auricle.errors import UnknownNameError
from auricle.methods._base import Method, MethodConfig
from auricle.nn.heads import projection
from auricle.text.towers import Tower, load_tower

# exp(logit_scale) is kept below 100, as in CLIP: beyond it the loss is a hard maximum.
_MAX_LOGIT_SCALE: Final = math.log(100.0)
# The class of a normal ECG, as every task here calls it, and how much of its cosine is taken from the others.
_NORMAL: Final = "NORM"
_AGAINST: Final = 0.5


class TextConfig(Config):
    """The frozen text tower: a name `auricle.text.towers` knows, a Hugging Face id or a local path; and its width."""

    tower: str = "minilm"
    width: Annotated[int, Field(gt=0)] = 384


class ComparingConfig(MethodConfig):
    """Settings of every method that compares recordings with sentences.

    Attributes:
        projection: width of the space in which ECG and text meet.
        temperature: start of the learned temperature.
        prompts: class names of the tasks whose prompt embeddings travel with the weights.
    """

    augment: AugmentConfig = AugmentConfig()
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.07
    prompts: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class AlignedConfig(ComparingConfig):
    """Settings of every method that aligns with a frozen tower.

    Attributes:
        text: the frozen text tower.
    """

    text: TextConfig = TextConfig()


class Comparing(Method):
    """An ECG encoder, two projections into one space, and the prompts of tasks; a subclass says what embeds sentences.

    The configuration's `text` has the `width` of an embedded sentence.
    """

    def __init__(self, config: ComparingConfig) -> None:
        super().__init__(config)
        self.project_signal = self.signal_head()
        self.project_report = self.report_head()
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        for number, names in enumerate(config.prompts.values()):
            self.register_buffer(f"prompt{number}", torch.zeros(len(names), self.config.text.width))

    def signal_head(self) -> nn.Module:
        """From the pooled features to the common space."""
        return projection(self.encoder.width, self.config.projection)

    def report_head(self) -> nn.Module:
        """From the embedding of a sentence to the common space."""
        return nn.Linear(self.config.text.width, self.config.projection)

    def signal_vector(self, tokens: Tokens) -> Tensor:
        """(b, projection) of encoded recordings, before normalisation."""
        vector: Tensor = self.project_signal(tokens.pooled)
        return vector

    @property
    def scale(self) -> Tensor:
        """One over the temperature."""
        return self.logit_scale.clamp(max=_MAX_LOGIT_SCALE).exp()

    @abstractmethod
    def tower(self) -> Tower:
        """What embeds sentences for `project_text`."""

    @property
    def prompt_sets(self) -> dict[str, tuple[str, ...]]:
        """Class names by task id, of the prompts that travel with the weights."""
        return dict(self.config.prompts)

    def project(self, batch: ECGBatch) -> Tensor:
        """(b, projection) unit vectors of recordings."""
        return F.normalize(self.signal_vector(self.encode(batch)), dim=-1)

    def project_text(self, embedding: Tensor) -> Tensor:
        """(n, projection) unit vectors of sentences, from the tower's embeddings."""
        return F.normalize(self.project_report(embedding), dim=-1)

    def keep_prompts(self, task_id: str, class_names: Sequence[str], embedding: Tensor) -> None:
        """Store a task's prompt embeddings (c, width) with the weights."""
        prompts = {**self.config.prompts, task_id: tuple(class_names)}
        self.config = self.config.model_copy(update={"prompts": prompts})
        number = list(prompts).index(task_id)
        self.register_buffer(f"prompt{number}", embedding.detach().clone().to(self.logit_scale))

    def prompt_scores(self, batch: ECGBatch, task_id: str) -> Tensor:
        """(b, c) how much like each class's prompt a recording is; see `compare`.

        Raises:
            UnknownNameError: the weights carry no prompts of this task.
        """
        return self.compare(self.encode(batch), task_id)

    def compare(self, tokens: Tokens, task_id: str) -> Tensor:
        """(b, c) how much like each class's prompt an encoded recording is: a cosine, or a difference of two.

        Where one of the classes is the normal ECG, every other class is read against it: its cosine less half of that
        with "normal", and "normal" less half of the mean of all others. A cosine alone also says how typical the
        recording is of reports at all. Source: prompts for presence and absence, Tiu et al. 2022 (CheXzero); the half
        was chosen on folds 1-8 of PTB-XL (`docs/results/log.md`).

        Raises:
            UnknownNameError: the weights carry no prompts of this task.
        """
        if task_id not in self.config.prompts:
            raise UnknownNameError("prompt set", task_id, self.config.prompts)
        names = self.config.prompts[task_id]
        prompts = self.get_buffer(f"prompt{list(self.config.prompts).index(task_id)}")
        cosine = F.normalize(self.signal_vector(tokens), dim=-1) @ self.project_text(prompts).T
        if _NORMAL not in names or len(names) == 1:
            return cosine
        place = names.index(_NORMAL)
        normal = cosine[:, place : place + 1]
        against = normal.repeat(1, len(names))
        against[:, place] = (cosine.sum(1) - normal[:, 0]) / (len(names) - 1)
        return cosine - _AGAINST * against


class Aligned(Comparing):
    """Compares with the sentences of a frozen tower, which itself is not part of the weights."""

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    text_mean: Tensor

    def __init__(self, config: AlignedConfig) -> None:
        super().__init__(config)
        # Reports of one domain share most of their embedding; what they share cannot tell them apart.
        self.register_buffer("text_mean", torch.zeros(config.text.width))

    @property
    def text_tower(self) -> str:
        """Name of the text tower these weights were aligned with."""
        return str(self.config.text.tower)

    def tower(self) -> Tower:
        """That tower, loaded."""
        return load_tower(self.text_tower)

    def project_text(self, embedding: Tensor) -> Tensor:
        """(n, projection) unit vectors of sentences, from the tower's embeddings."""
        return super().project_text(embedding - self.text_mean)
