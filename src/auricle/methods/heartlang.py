"""heartlang: the words of hidden heartbeats are told from the other beats of the record, as words of a sentence are.

Source: Jin et al. 2025, "Reading your heart: learning ECG words and sentences via pre-training ECG language model",
section 3.3. Idea: (1) a first stage (`vq_hbr`) has learned a codebook, in whose words every beat of every lead is
written; (2) half of the beats are hidden; (3) the encoder tells their words from the others. Inputs: signal.
Differences from the paper: the encoder begins as the first stage's; times are rotary; beats are capped at so many a
minute in each lead, where a limit of 256 tokens in all loses the last leads of a fast heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.masking import chosen
from auricle.batch import ECGBatch
from auricle.encoders import visible
from auricle.errors import ConfigError, DataError
from auricle.methods._base import Method, Progress, Step
from auricle.methods.vq_hbr import BEATS, BeatsConfig, VqHbr, Words, reader_of_beats
from auricle.processes import anywhere, mean_over_active

if TYPE_CHECKING:
    from auricle.data.loader import Seen

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = BEATS


class HeartlangConfig(BeatsConfig):
    """Settings of heartlang.

    Attributes:
        hidden: share of the beats that are hidden.
    """

    name: Literal["heartlang"] = "heartlang"
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.5


def _read_by(config: BeatsConfig) -> dict[str, Any]:
    """What decides what a word means, by its dotted key: input, encoder and laboratory values; fewer leads do not."""
    values = config.model_dump(include={"input", "encoder", "labs"})
    values["input"].pop("only", None)
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    flat = {f"{key}.{name}": value for key, table in tables.items() for name, value in table.items()}
    return {**flat, "labs": values["labs"]}


class Heartlang(Method):
    """An encoder of beats, what tells words, and the frozen encoder and codebook of the first stage."""

    name: ClassVar[str] = "heartlang"
    taught: Tensor

    def __init__(self, config: HeartlangConfig) -> None:
        super().__init__(config)
        width = reader_of_beats(self.encoder, self.name).width
        self.unseen = nn.Parameter(torch.randn(width) * 0.5)
        self.tell = nn.Linear(width, config.words.entries)
        # The first stage, as it was when this one began.
        self.writer, self.words = deepcopy(self.encoder), Words(width, config.words)
        self.writer.requires_grad_(False)
        self.words.requires_grad_(False)
        self.register_buffer("taught", torch.zeros((), dtype=torch.bool))

    def take_over(self, donor: Method) -> None:
        """Keep the first stage's encoder and words.

        Raises:
            ConfigError: the donor has no words, or others than this run was told, or it read something else.
        """
        if not isinstance(donor, VqHbr | Heartlang):
            raise ConfigError(
                f"heartlang tells the words of its first stage, and {donor.name} has none: begin from vq_hbr"
            )
        if donor.config.words != self.config.words:
            raise ConfigError(
                f"heartlang: model.words says {self.config.words.entries} words of {self.config.words.width} numbers, "
                f"and the first stage learned {donor.config.words.entries} of {donor.config.words.width}"
            )
        theirs, ours = (_read_by(one.config) for one in (donor, self))
        other = next((key for key in ours if ours[key] != theirs.get(key)), None)
        if other is not None:
            raise ConfigError(
                f"heartlang: its first stage was learned with another model.{other}, and its words would mean "
                "something else: take the same for both"
            )
        writer = donor.writer if isinstance(donor, Heartlang) else donor.encoder
        self.writer.load_state_dict(writer.state_dict())
        self.words.load_state_dict(donor.words.state_dict())
        self.taught.fill_(True)

    def prepare(self, view: Seen) -> None:
        """Fit the scale of laboratory values, and see that there is a first stage.

        Raises:
            ConfigError: there is none.
        """
        super().prepare(view)
        if not self.taught:
            raise ConfigError(
                "heartlang tells words that a first stage has learned: pre-train one (--method vq_hbr), and name it "
                "with init_from=RUN"
            )

    def train(self, mode: bool = True) -> Heartlang:
        """Training mode for all but the first stage, whose words stay what they were."""
        super().train(mode)
        self.writer.eval()
        self.words.eval()
        return self

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Cross-entropy of the words of hidden beats (equation 5).

        Terms: `loss`, `hits` (share of words that are told), and `words` (how many the batch uses).

        Raises:
            DataError: no record of the batch has beats enough for one to be hidden.
        """
        del progress
        encoder, writer = (reader_of_beats(one, self.name) for one in (self.encoder, self.writer))
        ready = self.preprocess(replace(batch, image=None, image_mask=None))
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        at, found = encoder.find_beats(signal, ready.time_mask)
        beats, _ = encoder.cut(signal, ready.time_mask, at, found)
        there = ready.lead_mask[:, :, None] & found[:, None]
        hidden = chosen(there.flatten(1), self.config.hidden)
        if not anywhere(hidden):
            raise DataError(
                f"heartlang: a share of {self.config.hidden:g} of the beats is less than one in this batch: take "
                "longer windows (model.input.seconds) or a larger model.hidden"
            )
        with torch.no_grad():
            written = writer.read_beats(writer.embed_beats(beats), there, at, writer.condition(ready))
            words = self.words(written.tokens, written.mask)
        # A hidden beat keeps its lead and its time, and nothing of its shape.
        lead = encoder.identity.repeat_interleave(there.shape[2], dim=0)
        entered = torch.where(hidden[..., None], self.unseen + lead, encoder.embed_beats(beats))
        tokens = encoder.output(encoder.read_beats(entered, there, at, condition), condition)
        logits = self.tell(tokens.tokens).float()
        untold = F.cross_entropy(logits.transpose(1, 2), words.index, reduction="none")
        loss = mean_over_active(untold, hidden)
        with torch.no_grad():
            hits = mean_over_active((logits.argmax(-1) == words.index).float(), hidden)
        return Step(loss, {"loss": loss.detach(), "hits": hits, "words": words.used})
