"""cg_dmer: what a recording and its report share is aligned, what only one of them has is kept apart, both are drawn.

Source: CG-DMER (arXiv 2602.21154; only its abstract fixes anything, no code is public). Idea: (1) whole leads and whole
columns of time are hidden and drawn from what is left, and words of the report are hidden and guessed; (2) each
modality has a shared and a specific encoder over a common stem; (3) shared parts of a recording and its report meet
under a pairwise sigmoid; (4) shared and specific parts of one modality are decorrelated; (5) decoders read [shared;
specific], so that the specific part has something to carry. Inputs: signal; reports as tokens of a vocabulary learnt
from the training reports, so no hub is needed. Zero-shot goes through the shared part.
Differences and our choices: shares of the masks (25 % of leads, 50 % of time), weights 1 and .1; records are aligned
under their mask, so that one pass of the encoder serves both losses (FLIP, arXiv 2212.00794), and reports whole; equal
reports never repel; the decoder also gives level, spread and doubt (the standard deviation of its error) of a patch, so
that absent leads can be drawn in millivolts.

The vocabulary's size is configuration (`text.vocabulary_size`), which fixes the shape of the embedding and of the
tensor that holds the entries. The corpus learns the vocabulary, because batches need its entries, and `prepare` copies
it into that tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.masking import hide
from auricle.augment.signal import AugmentConfig, augment, drop_leads
from auricle.batch import ECGBatch, TextBatch
from auricle.config import Config, component
from auricle.encoders import ENCODERS, Tokens
from auricle.encoders.st_vit import StVit
from auricle.losses.contrastive import weighted_siglip
from auricle.losses.diag_sim import same_report
from auricle.losses.disentangle import decorrelation
from auricle.losses.masked import masked_words
from auricle.methods._aligned import Comparing, ComparingConfig
from auricle.methods._base import Progress, Recipe, Reconstruction, Step
from auricle.methods._patch_drawing import DecoderConfig, drawing_losses, in_millivolts
from auricle.methods._words import ReadsWords
from auricle.nn.heads import projection
from auricle.nn.patch import patch_mask
from auricle.nn.patch_decoder import PatchDecoder
from auricle.nn.standardise import Standardise
from auricle.nn.text_encoder import TextEncoder
from auricle.processes import gather, mean_over_active, positive_columns, world
from auricle.signal.preprocess import TYPICAL_MV, recorded
from auricle.text.vocabulary import CLS, LEAST_SIZE, MASK, Vocabulary

_EMBED_AT_ONCE: Final = 64
_AT_100_HZ: Final = {"rate_hz": 100, "band_hz": (0.5, 45)}
_NANO: Final[Mapping[str, Any]] = {
    "input": _AT_100_HZ,
    "encoder": {"name": "st_vit", "preset": "nano"},
    "text": {"width": 64, "n_heads": 4, "common": 1, "own": 1},
    "decoder": {"width": 48, "depth": 1, "n_heads": 3},
    "recipe": {"lr": 2e-3},
}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "st_vit", "preset": "tiny"},
        "text": {"width": 16, "n_heads": 2, "common": 1, "own": 1, "vocabulary_size": 600},
        "decoder": {"width": 16, "depth": 1, "n_heads": 2},
        "projection": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": _NANO,
    # As many blocks in each modality, and two linear heads where the two stacks were.
    "heads": {
        **_NANO,
        "encoder": {"name": "st_vit", "preset": "nano", "common": 3, "own": 0},
        "text": {**_NANO["text"], "common": 2, "own": 0},
    },
    "small": {"encoder": {"name": "st_vit", "preset": "small"}},
    "paper": {
        "encoder": {"name": "st_vit", "preset": "base"},
        "text": {"width": 384, "n_heads": 6, "common": 3, "own": 3},
        "decoder": {"width": 256, "depth": 4, "n_heads": 8},
        "recipe": {"lr": 3e-4},
    },
}


class TextSideConfig(Config):
    """The trained text encoder and its vocabulary.

    Attributes:
        width: features of a token and of each part.
        common, own: blocks of the stem, and of each part.
        vocabulary_size: most entries; a vocabulary may have fewer.
        mask_share: share of the words that are hidden and guessed.
    """

    width: Annotated[int, Field(gt=0)] = 192
    n_heads: Annotated[int, Field(gt=0)] = 6
    common: Annotated[int, Field(gt=0)] = 2
    own: Annotated[int, Field(ge=0)] = 2
    vocabulary_size: Annotated[int, Field(ge=LEAST_SIZE)] = 2000
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15


class CgDmerConfig(ComparingConfig):
    """Settings of cg_dmer.

    Attributes:
        text: the report's encoder.
        decoder: of the recording.
        augment: gain, and leads that are dropped beside those the mask hides, so that any subset is a familiar input;
            no noise by default, because the decoder cannot predict it.
        lead_share: share of the leads of each record that are hidden whole.
        time_share: share of its columns of time that are hidden in all leads.
        temperature, bias: start of the sigmoid's scale (1 / temperature) and bias; the source's bias of -10 is for 32k
            columns.
        decoders_read: `both` parts, or, as an ablation, one of them alone.
        draw_weight, word_weight, align_weight, decorrelate_weight: of drawn patches, guessed words, the alignment, and
            keeping the parts apart.
    """

    name: Literal["cg_dmer"] = "cg_dmer"
    encoder: component(ENCODERS) = Field(default={"name": "st_vit", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=5e-4)
    text: TextSideConfig = TextSideConfig()
    decoder: DecoderConfig = DecoderConfig()
    augment: AugmentConfig = AugmentConfig(noise_mv=0.0)
    lead_share: Annotated[float, Field(ge=0, lt=1)] = 0.25
    time_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    temperature: Annotated[float, Field(gt=0)] = 0.1
    bias: float = -5.0
    decoders_read: Literal["both", "shared", "specific"] = "both"
    draw_weight: Annotated[float, Field(ge=0)] = 1.0
    word_weight: Annotated[float, Field(ge=0)] = 1.0
    align_weight: Annotated[float, Field(ge=0)] = 1.0
    decorrelate_weight: Annotated[float, Field(ge=0)] = 0.1

    @model_validator(mode="after")
    def _reads_in_two_parts(self) -> CgDmerConfig:
        if self.encoder.name != "st_vit":
            raise ValueError(
                f"cg_dmer reads by an encoder of two parts, and {self.encoder.name!r} has none: "
                "leave model.encoder.name at st_vit"
            )
        return self


@dataclass
class OwnTower:
    """The shared part of a trained text encoder as a text tower.

    Attributes:
        name: holds a hash of the weights, so that embeddings of other weights are not mistaken for its own.
        width: features of an embedding.
        encoder: the text encoder.
        vocabulary: what turns a text into the encoder's tokens.
    """

    name: str
    width: int
    encoder: TextEncoder
    vocabulary: Vocabulary

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width) unit vectors of n texts."""
        rows = [np.zeros((0, self.width), dtype=np.float32)]
        training, device = self.encoder.training, self.encoder.guess_bias.device
        self.encoder.eval()
        for first in range(0, len(texts), _EMBED_AT_ONCE):
            table = self.vocabulary.table(texts[first : first + _EMBED_AT_ONCE])
            ids, mask = (torch.from_numpy(part).to(device) for part in table)
            shared, _ = self.encoder(ids.long(), mask)
            rows.append(F.normalize(self.encoder.pooled(shared, mask), dim=-1).cpu().numpy())
        self.encoder.train(training)
        return np.concatenate(rows)


class _ReportHead(nn.Sequential):
    """Standardised rows, then a linear map."""

    def forward(self, rows: Tensor, active: Tensor | None = None) -> Tensor:
        """(b, projection) of report vectors (b, width); `active` (b,) marks the records that have a report."""
        standardise, to_projection = self
        mapped: Tensor = to_projection(standardise(rows, active))
        return mapped


class CgDmer(ReadsWords, Comparing):
    """Two encoders of two parts each, two decoders, and the space where the shared parts meet."""

    name: ClassVar[str] = "cg_dmer"
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    report_optional: ClassVar[bool] = True  # a recording without a report still trains the drawing of hidden patches
    encoder: StVit

    def __init__(self, config: CgDmerConfig) -> None:
        super().__init__(config)
        text, decoder, leads = config.text, config.decoder, len(config.input.leads)
        self.logit_bias = nn.Parameter(torch.tensor(config.bias))
        self.decoder = PatchDecoder(
            leads, self.encoder.width, self.encoder.patch, decoder.width, decoder.depth, decoder.n_heads
        )
        self.text_encoder = TextEncoder(text.vocabulary_size, text.width, text.n_heads, text.common, text.own)
        self.make_room(text.vocabulary_size)

    def signal_head(self) -> nn.Module:
        """The map of a recording's shared part (b, d) into the space of the alignment."""
        width = self.encoder.width // 2
        return nn.Sequential(Standardise(width), projection(width, self.config.projection))

    def report_head(self) -> nn.Module:
        """The map of a report's shared part (b, d) into the space of the alignment; absent reports do not count."""
        width = self.config.text.width
        return _ReportHead(Standardise(width), nn.Linear(width, self.config.projection))

    def signal_vector(self, tokens: Tokens) -> Tensor:
        """(b, projection) vector of recordings in the space of the alignment, from their shared part alone."""
        vector: Tensor = self.project_signal(tokens.pooled.chunk(2, dim=-1)[0])
        return vector

    @property
    def text_tower(self) -> str:
        """Name of the tower inside these weights."""
        return self.tower().name

    def tower(self) -> OwnTower:
        """The shared part of the text encoder as a tower, by a name that holds a hash of vocabulary and weights."""
        weights = hashlib.sha256(self.pieces.cpu().numpy().tobytes())
        for parameter in self.text_encoder.parameters():
            weights.update(parameter.detach().float().cpu().numpy().tobytes())
        name = f"cg_dmer-{weights.hexdigest()[:12]}"
        return OwnTower(name, self.config.text.width, self.text_encoder, self.vocabulary)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Draw hidden patches, guess hidden words, align the shared parts and decorrelate them from the specific.

        Terms: `loss`, `drawn` and `level` of hidden patches, `words`, `align`, `apart`, and the `scale` of the sigmoid.
        """
        del progress
        assert batch.text is not None
        # Masked signal: leads are dropped in `hide` and not here, so that `ready` holds all that can be drawn.
        gain_only = self.config.augment.model_copy(update={"lead_drop_records": 0.0})
        ready = augment(self.preprocess(batch), gain_only)
        seen = self.hide(ready)
        tokens = self.encoder.read(seen)
        drawn, level, doubted = self._draw(ready, tokens)
        # Masked text, and both parts (b, d) of the whole reports.
        words, report_shared, report_specific = self._read(batch.text)
        # Vectors (b, projection) of recordings and reports in the space of the alignment.
        signal = F.normalize(self.signal_vector(tokens), dim=-1)
        has_report = batch.text.report_id >= 0
        report = F.normalize(self.project_report(F.normalize(report_shared, dim=-1), has_report), dim=-1)
        # Cosines and correlations are compared to the third decimal: full precision, also under bf16.
        with torch.autocast(signal.device.type, enabled=False):
            align = self._align(signal.float(), report.float(), batch.text)
            of_signals = decorrelation(*tokens.pooled.float().chunk(2, dim=-1))
            of_reports = decorrelation(report_shared.float(), report_specific.float(), has_report)
            apart = of_signals + of_reports
        config = self.config
        loss = config.draw_weight * (drawn + level + doubted) + config.word_weight * words
        loss = loss + config.align_weight * align + config.decorrelate_weight * apart
        terms = {"loss": loss, "drawn": drawn, "level": level, "words": words, "align": align, "apart": apart}
        return Step(loss, {**{name: term.detach() for name, term in terms.items()}, "scale": self.scale.detach()})

    def hide(self, ready: ECGBatch) -> ECGBatch:
        """A preprocessed batch with leads and columns of time under a false mask, as in training.

        Leads are first dropped as `augment` says; then `lead_share` of those left and `time_share` of the columns are
        hidden. One lead and one column always stay.
        """
        config = self.config
        lead_mask = drop_leads(ready.lead_mask, config.augment.lead_drop_records, config.augment.lead_drop)
        left = replace(ready, lead_mask=lead_mask)
        return hide(left, self.encoder.patch, config.lead_share, config.time_share)

    def _draw(self, ready: ECGBatch, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        """Scalar losses of shape, level (mean and spread) and doubt of the patches that were recorded and not seen."""
        columns = patch_mask(ready.time_mask, self.encoder.patch)
        drawn = self.decoder(self._for_decoder(tokens.tokens), tokens.mask, columns)
        there = self.encoder.places(ready.lead_mask, ready.time_mask)
        return drawing_losses(drawn, ready, self.encoder.patch, there & ~tokens.mask.reshape(there.shape))

    def _for_decoder(self, parts: Tensor) -> Tensor:
        """(.., 2 d) [shared; specific], with zeros for the part that `decoders_read` leaves out."""
        if self.config.decoders_read == "both":
            return parts
        shared, specific = parts.chunk(2, dim=-1)
        if self.config.decoders_read == "shared":
            return torch.cat([shared, torch.zeros_like(specific)], dim=-1)
        return torch.cat([torch.zeros_like(shared), specific], dim=-1)

    def _read(self, text: TextBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Scalar loss of hidden words, and the shared and specific part (b, d) of the whole reports."""
        assert text.token_ids is not None
        assert text.token_mask is not None
        ids, mask = text.token_ids, text.token_mask
        hidden = mask & (ids != CLS) & (torch.rand(ids.shape, device=ids.device) < self.config.text.mask_share)
        # Masked and whole reports in one pass, one below the other: (2 b, token).
        both = torch.cat([torch.where(hidden, MASK, ids), ids]), torch.cat([mask, mask])
        shared, specific = self.text_encoder(*both)
        n = len(ids)
        read = self._for_decoder(torch.cat([shared[:n][hidden], specific[:n][hidden]], dim=-1))
        guessed = self.text_encoder.guess_words(*read.chunk(2, dim=-1))
        with torch.autocast(ids.device.type, enabled=False):
            words = masked_words(guessed.float(), ids[hidden])
        return words, self.text_encoder.pooled(shared[n:], mask), self.text_encoder.pooled(specific[n:], mask)

    def _align(self, signal: Tensor, report: Tensor, text: TextBatch) -> Tensor:
        """Scalar pairwise sigmoid of this process's recordings (b, d) and all reports; equal reports never repel."""
        has_report = text.report_id >= 0
        rows = TextBatch(text.report_id, findings=text.findings)
        columns = rows.gather()
        repels = (columns.report_id >= 0)[None] & ~same_report(rows, columns)
        logits = self.scale * signal @ gather(report).T
        positive = positive_columns(len(signal), world()[0], signal.device)
        losses, active = weighted_siglip(logits, positive, repels.float(), self.logit_bias)
        return mean_over_active(losses, active & has_report)

    def reconstruct(self, batch: ECGBatch) -> Reconstruction:
        """Absent leads, and gaps of the others, drawn from what is there; what was recorded is returned as it is, its
        deviation 0.

        The standard deviation of a drawn sample is that of its patch, learned from the errors in training.
        """
        ready, known = self.preprocess(batch), recorded(batch, self.config.input)
        mean, std = self.drawn(ready, self.encode_ready(ready))
        return Reconstruction(torch.where(known, ready.signal, mean), torch.where(known, 0.0, std))

    def drawn(self, ready: ECGBatch, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, (b, l, t) in mV each, that the decoder gives at every place, seen or not."""
        n_samples, patch = ready.signal.shape[-1], self.encoder.patch
        drawing = self.decoder(self._for_decoder(tokens.tokens), tokens.mask, patch_mask(ready.time_mask, patch))
        assert drawing.log_doubt is not None
        mean = in_millivolts(drawing).flatten(2)[..., :n_samples]
        std = (TYPICAL_MV * drawing.log_doubt.float().exp()).repeat_interleave(patch, dim=-1)[..., :n_samples]
        return mean, std
