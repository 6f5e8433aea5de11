"""A transformer over heartbeats: every beat of every lead is a token, as a word is one of a sentence.

Source: Jin et al. 2025, "Reading your heart: learning ECG words and sentences via pre-training ECG language model"
(HeartLang). Idea: (1) beats are found, and each lead is cut at them; (2) a beat of a lead is a token, known by its lead
and its time; (3) attention runs over all beats of all leads. Differences from the paper: beats are found by the
steepness of all present leads together; a beat reaches half way to its neighbours and no further, so that beats at 200
a minute do not lie in each other; times are rotary. A record has at most `most_per_minute` beats a lead, the steepest
of them; in one in which none stands out the steepest place is the only beat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.encoders._base import EncoderModule, Tokens
from auricle.encoders._blocks import BlocksConfig, stack
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Rotary
from auricle.signal.preprocess import TYPICAL_MV, InputSpec
from auricle.tracing import is_traced

# Steepness is smoothed over this, and a beat is the steepest place of as much on either side as a fast child's R-R
# interval is long.
_SMOOTH_MS: Final = 80
_APART_MS: Final = 180
# A beat is at least so steep, beside the steepest of a record that beats 30 times a minute.
_LEAST_STEEP: Final = 0.2
_SLOWEST_HZ: Final = 0.5
_LATER: Final = 1e-6
# Places of rotary times in a second.
_PLACES_PER_S: Final = 4

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "depth": 2, "n_heads": 2},
    "nano": {"width": 96, "depth": 4, "n_heads": 4},
    "small": {"width": 192, "depth": 6, "n_heads": 6},
    "base": {"width": 768, "depth": 12, "n_heads": 12},
}


class BeatVitConfig(BlocksConfig):
    """Settings of the encoder.

    Attributes:
        beat_ms: length of a beat that is read.
        most_per_minute: beats of a lead that are read, at most; of more the steepest.
    """

    name: Literal["beat_vit"] = "beat_vit"
    beat_ms: Annotated[float, Field(gt=0)] = 960.0
    most_per_minute: Annotated[float, Field(gt=0)] = 240.0


class BeatVit(EncoderModule):
    """Beats of every lead, one transformer, masked mean; every lead is a group of its own."""

    def __init__(self, config: BeatVitConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width, self.group_names = config, config.width, spec.leads
        self.reach = max(1, round(config.beat_ms * spec.rate_hz / 2000))
        self.beat = 2 * self.reach  # samples of a beat
        self.embed = nn.Linear(self.beat, config.width)
        self.identity = nn.Parameter(torch.randn(len(spec.leads), config.width) * 0.5)
        self.rotary = Rotary(config.width // config.n_heads)
        self.blocks = stack(config)
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1, len(spec.leads), 1))
        self.norm = nn.LayerNorm(config.width)

    def _most(self, n: int) -> int:
        """Beats that may be read of n samples."""
        return max(2, math.ceil(n / float(self.spec.rate_hz) * float(self.config.most_per_minute) / 60))

    def find_beats(
        self, signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"]
    ) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
        """(b, k) samples at which beats lie, in order, and (b, k) which there are; those that are not stand last.

        k is the most that any record has; in a graph, the most that any record may have.

        Args:
            signal: 0 wherever nothing was recorded.
            time_mask: true inside the record.
        """
        rate, n = self.spec.rate_hz, signal.shape[-1]
        # Mean square of the slope over all leads, smoothed, where both neighbours were recorded.
        slope = F.pad(signal[..., 2:] - signal[..., :-2], (1, 1)).square().mean(1)
        inside = F.pad(time_mask[:, 2:] & time_mask[:, :-2], (1, 1))
        reach = max(1, round(_SMOOTH_MS * rate / 2000))
        steep = F.avg_pool1d(torch.where(inside, slope, 0.0)[:, None], 2 * reach + 1, 1, reach)[:, 0]
        # Where several places are equally steep, the last is.
        steep = steep * (1 + _LATER * torch.arange(n, device=signal.device))
        # Places that are steepest around them, the steepest first.
        apart = max(1, round(_APART_MS * rate / 1000))
        peak = steep == F.max_pool1d(steep[:, None], 2 * apart + 1, 1, apart)[:, 0]
        most = min(n, self._most(n))
        height, place = torch.where(peak & inside & (steep > 0), steep, -1.0).topk(most, dim=1)
        # What a slow record would have as its least steep beat says how steep a beat is.
        slowest = (time_mask.sum(1, keepdim=True) / rate * _SLOWEST_HZ).long().clamp(1, most) - 1
        usual = height.gather(1, slowest)
        usual = torch.where(usual > 0, usual, height[:, :1])  # fewer peaks than that
        found = (height > 0) & (height >= _LEAST_STEEP * usual)
        # Of more than may be read the steepest; what was recorded counts, and not the padding.
        allowed = torch.ceil(time_mask.sum(1, keepdim=True) / rate * self.config.most_per_minute / 60).clamp_min(2)
        found = found & (torch.arange(most, device=signal.device) < allowed)
        # A flat record has one beat, at its beginning: what was recorded is read.
        none = ~found.any(1, keepdim=True) & time_mask.any(1, keepdim=True)
        first = torch.arange(most, device=signal.device) == 0
        place = torch.where(none & first, time_mask.int().argmax(1, keepdim=True), place)
        found = found | (none & first)
        at, order = torch.where(found, place, n).topk(most, dim=1, largest=False)  # in order of time
        found = found.gather(1, order)
        if not is_traced():
            k = max(1, int(found.sum(1).max()))
            at, found = at[:, :k], found[:, :k]
        return at.clamp(max=n - 1), found

    def cut(
        self,
        signal: Float[Tensor, "b l t"],
        time_mask: Bool[Tensor, "b t"],
        at: Int[Tensor, "b k"],
        found: Bool[Tensor, "b k"],
    ) -> tuple[Float[Tensor, "b l k p"], Bool[Tensor, "b k p"]]:
        """(b, l, k, p) beats in units of TYPICAL_MV, and (b, k, p) which recorded samples are theirs; the rest is 0.

        Args:
            signal: 0 wherever nothing was recorded.
            time_mask: true inside the record.
            at: samples at which beats lie, in order.
            found: which there are.
        """
        n, around = signal.shape[-1], torch.arange(-self.reach, self.reach, device=signal.device)
        samples = at[..., None] + around  # (b, k, p)
        # Half way to the neighbours; the first and the last reach as far as a beat is long.
        middle = (at[:, 1:] + at[:, :-1]) // 2
        far = n + self.beat
        behind = F.pad(torch.where(found[:, 1:], middle, far), (0, 1), value=far)
        before = F.pad(middle, (1, 0), value=-far)
        own = (samples >= before[..., None]) & (samples < behind[..., None]) & (samples >= 0) & (samples < n)
        index = samples.clamp(0, n - 1).flatten(1)
        recorded = torch.unflatten(time_mask.gather(1, index), -1, (at.shape[1], self.beat))
        own = own & recorded & found[..., None]
        rows = index[:, None].expand(-1, signal.shape[1], -1)
        beats = torch.unflatten((signal / TYPICAL_MV).gather(2, rows), -1, (at.shape[1], self.beat))
        return torch.where(own[:, None], beats, 0.0), own

    def turn(self, at: Int[Tensor, "b k"], rotary: Rotary | None = None) -> tuple[Tensor, Tensor]:
        """Cosines and sines (b, 1, l k, half a head's width) of the beats' times, for all leads.

        Args:
            at: samples at which they lie.
            rotary: whose heads they are for, by default the encoder's.
        """
        cos, sin = (rotary or self.rotary).at(at * (_PLACES_PER_S / self.spec.rate_hz))
        leads = len(self.spec.leads)
        return cos.repeat(1, leads, 1)[:, None], sin.repeat(1, leads, 1)[:, None]

    def read_beats(
        self,
        tokens: Float[Tensor, "b lk d"],
        mask: Bool[Tensor, "b l k"],
        at: Int[Tensor, "b k"],
        condition: Condition | None,
    ) -> Tokens:
        """Tokens that have heard each other; one that is not there is zero.

        Times in `time_ms` are NaN, because the beats of different records lie at different times.

        Args:
            tokens: all beats of the first lead, then of the next: embedded, or whatever stands in their place.
            mask: beats that there are.
            at: samples at which they lie.
            condition: what modulates, by source.
        """
        leads, k = mask.shape[1:]
        flat = mask.flatten(1)
        # A record without a beat attends to its first place: a softmax over no key is NaN.
        keys = flat | F.pad(~flat.any(1, keepdim=True), (0, flat.shape[1] - 1))
        x, turn = tokens, self.turn(at)
        for block, modulate in zip(self.blocks, self.modulate, strict=True):
            x = modulate(torch.unflatten(block(x, keys, turn), 1, (leads, k)), condition).flatten(1, 2)
        x = torch.where(flat[..., None], self.norm(x), 0.0)
        sizes = torch.unflatten(x, 1, (leads, k)).sum(2).norm(dim=-1)
        return Tokens(
            tokens=x,
            mask=flat,
            group=torch.arange(leads, device=x.device).repeat_interleave(k),
            time_ms=torch.full((leads * k,), torch.nan, device=x.device),
            scale=torch.zeros(leads * k, dtype=torch.long, device=x.device),
            pooled=masked_mean(x, flat),
            group_contribution=sizes / sizes.sum(1, keepdim=True).clamp_min(1e-9),
        )

    def embed_beats(self, beats: Float[Tensor, "b l k p"]) -> Float[Tensor, "b lk d"]:
        """(b, l k, d) tokens of beats that have not heard each other."""
        embedded: Tensor = (self.embed(beats) + self.identity[:, None]).flatten(1, 2)
        return embedded

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, l * k, d) tokens, all beats of a lead and then of the next, and (b, d) their mean as `pooled`."""
        at, found = self.find_beats(signal, time_mask)
        beats, _ = self.cut(signal, time_mask, at, found)
        mask = lead_mask[:, :, None] & found[:, None]
        return self.read_beats(self.embed_beats(beats), mask, at, condition)
