"""vq_hbr: heartbeats are written in the words of a codebook and read back: the first stage of `heartlang`.

Source: Jin et al. 2025, "Reading your heart: learning ECG words and sentences via pre-training ECG language model",
section 3.2: vector-quantised heartbeat reconstruction. Idea: (1) every beat of every lead is a token that hears all
others; (2) it is replaced by the nearest entry of a codebook, its word; (3) a small transformer draws each beat from
the words. Inputs: signal. Differences from the paper: a beat reaches half way to its neighbours, and only that is read
and drawn; times are rotary; so many beats a minute of each lead are read at most; entries are means and not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.config import Config, component
from auricle.encoders import ENCODERS, EncoderModule, visible
from auricle.encoders.beat_vit import BeatVit
from auricle.errors import ConfigError, DataError
from auricle.losses.masked import patch_error
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Step
from auricle.methods._patch_drawing import DecoderConfig
from auricle.nn.codebook import Assigned, NearestCodebook
from auricle.nn.transformer import Block, Rotary
from auricle.processes import anywhere, mean_over_active

_TINY: Final[Mapping[str, Any]] = {
    "input": {"rate_hz": 250, "seconds": 2.0},
    "encoder": {"name": "beat_vit", "preset": "tiny"},
    "words": {"entries": 16, "width": 8},
}
_NANO: Final[Mapping[str, Any]] = {
    "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
    "encoder": {"name": "beat_vit", "preset": "nano"},
    "words": {"entries": 512, "width": 32},
}
# Input, encoder and codebook of each preset, of both stages.
BEATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**_TINY, "recipe": {"lr": 3e-3}},
    "nano": {**_NANO, "recipe": {"lr": 2e-3}},
    "shared": {"encoder": {"name": "beat_vit", "preset": "small"}},
    # Beats of 96 samples at 100 Hz; twelve layers of 768; 8,192 words of 128 numbers.
    "paper": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "beat_vit", "preset": "base"},
        "recipe": {"lr": 5e-5, "weight_decay": 1e-4, "betas": (0.9, 0.99)},
    },
}
_DECODERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "depth": 1, "n_heads": 2},
    "nano": {"width": 48, "depth": 1, "n_heads": 3},
    "shared": {},
    "paper": {"width": 768, "depth": 3, "n_heads": 12},
}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {**values, "decoder": _DECODERS[name]} for name, values in BEATS.items()
}


class WordsConfig(Config):
    """The codebook.

    Attributes:
        entries: words, two or more.
        width: of a word.
    """

    entries: Annotated[int, Field(ge=2)] = 8192
    width: Annotated[int, Field(gt=0)] = 128


class BeatsConfig(MethodConfig):
    """Settings of every method whose encoder reads heartbeats and whose words are a codebook's.

    Attributes:
        encoder: `beat_vit`, whose tokens are heartbeats.
        words: the codebook.
    """

    encoder: component(ENCODERS) = Field(default={"name": "beat_vit", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=5e-4)
    words: WordsConfig = WordsConfig()


class VqHbrConfig(BeatsConfig):
    """Settings of vq_hbr.

    Attributes:
        decoder: of the beats.
        commitment: weight of the distance of what the encoder says from its words.
    """

    name: Literal["vq_hbr"] = "vq_hbr"
    decoder: DecoderConfig = DecoderConfig()
    commitment: Annotated[float, Field(ge=0)] = 1.0


class Words(nn.Module):
    """From what an encoder says of a beat to its word.

    Args:
        width: of the encoder's tokens.
        config: entries and width of the codebook.
    """

    def __init__(self, width: int, config: WordsConfig) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, config.width))
        self.codebook = NearestCodebook(config.entries, config.width)

    def forward(self, tokens: Float[Tensor, "b n d"], there: Bool[Tensor, "b n"]) -> Assigned:
        """Words of tokens.

        Args:
            tokens: of an encoder.
            there: those that are.
        """
        assigned: Assigned = self.codebook(self.narrow(tokens), there)
        return assigned


def reader_of_beats(encoder: EncoderModule, name: str) -> BeatVit:
    """An encoder, if its tokens are heartbeats.

    Raises:
        ConfigError: they are not.
    """
    if not isinstance(encoder, BeatVit):
        raise ConfigError(
            f"{name} reads heartbeats as words, and the tokens of {encoder.config.name} are none: take "
            "model.encoder.name=beat_vit"
        )
    return encoder


class VqHbr(Method):
    """An encoder of beats, their words, and a decoder that draws beats from words."""

    name: ClassVar[str] = "vq_hbr"

    def __init__(self, config: VqHbrConfig) -> None:
        super().__init__(config)
        encoder, decoder = reader_of_beats(self.encoder, self.name), config.decoder
        self.words = Words(encoder.width, config.words)
        self.widen = nn.Linear(config.words.width, decoder.width)
        self.identity = nn.Parameter(torch.randn(len(config.input.leads), decoder.width) * 0.5)
        self.rotary = Rotary(decoder.width // decoder.n_heads)
        self.blocks = nn.ModuleList(Block(decoder.width, decoder.n_heads) for _ in range(decoder.depth))
        self.draw = nn.Sequential(nn.LayerNorm(decoder.width), nn.Linear(decoder.width, encoder.beat))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Squared error of the beats, and how far from their words the encoder speaks (equation 3).

        Terms: `loss`, `drawn`, `commitment`, and `words` (how many are in use).

        Raises:
            DataError: no record of the batch has a beat.
        """
        del progress
        encoder = reader_of_beats(self.encoder, self.name)
        ready = self.preprocess(replace(batch, image=None, image_mask=None))
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        at, found = encoder.find_beats(signal, ready.time_mask)
        beats, own = encoder.cut(signal, ready.time_mask, at, found)
        there = ready.lead_mask[:, :, None] & found[:, None]
        if not anywhere(there):
            raise DataError("vq_hbr: no record of the batch has anything recorded in any lead")
        tokens = encoder.output(encoder.read_beats(encoder.embed_beats(beats), there, at, condition), condition)
        words = self.words(tokens.tokens, tokens.mask)
        missed = patch_error(self._drawn(words.vectors, there, encoder, at), beats.float(), own)
        drawn = mean_over_active(missed, there)
        loss = drawn + self.config.commitment * words.commitment
        terms = {"loss": loss, "drawn": drawn, "commitment": words.commitment, "words": words.used}
        return Step(loss, {name: value.detach() for name, value in terms.items()})

    def _drawn(
        self, words: Float[Tensor, "b lk w"], there: Bool[Tensor, "b l k"], encoder: BeatVit, at: Tensor
    ) -> Float[Tensor, "b l k p"]:
        """(b, l, k, p) beats, drawn from the words of all."""
        lead = self.identity.repeat_interleave(there.shape[2], dim=0)
        x, keys = self.widen(words) + lead, there.flatten(1)
        keys = keys | ~keys.any(1, keepdim=True)  # a record without a beat is drawn from nothing, and does not count
        turn = encoder.turn(at, self.rotary)
        for block in self.blocks:
            x = block(x, keys, turn)
        beats: Tensor = self.draw(x).unflatten(1, there.shape[1:]).float()
        return beats
