"""melp: recordings meet their reports as wholes, sentence by sentence, and word by word as the report is written.

Source: Wang et al. 2025, "From token to rhythm: a multi-scale approach for ECG-language pretraining" (MELP). Idea: (1)
an encoder of wav2vec type reads the recording; (2) as a whole it is pulled to its report and pushed from others; (3) a
few learned queries gather moments of it, and each sentence of a report looks for its moments, in its own recording and
in others'; (4) more queries gather what a decoder reads while it writes the report word by word. Inputs: signal, report
embeddings, reports as tokens. Differences from the paper: the whole is compared with a frozen tower's embedding;
sentences are read by a small transformer over the words of the caption's table, since no clinical language model is at
hand; the mean over sentences in place of their sum; no pre-training of the encoder by its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig, augment
from auricle.batch import ECGBatch, TextBatch
from auricle.config import Config, component
from auricle.encoders import ENCODERS, Tokens
from auricle.losses.contrastive import info_nce
from auricle.losses.local import local_info_nce
from auricle.methods._aligned import Aligned, AlignedConfig
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._words import ReadsWords
from auricle.nn.caption import CaptionDecoder, SentenceReader, sentence_of
from auricle.nn.pooling import QueryPool
from auricle.processes import mean_over_active
from auricle.text.vocabulary import DIGITS, LEAST_SIZE, SENTENCE_ENDS, SPACE

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "wav2vec1d", "preset": "tiny"},
        "words": {"width": 16, "depth": 1, "n_heads": 2, "vocabulary_size": 600, "gathered": 8},
        "moments": 4,
        "projection": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "wav2vec1d", "preset": "nano"},
        "words": {"width": 64, "depth": 1, "n_heads": 4, "gathered": 32},
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "wav2vec1d", "preset": "small"}},
    "paper": {
        "encoder": {"name": "wav2vec1d", "width": 768, "depth": 8, "n_heads": 12},
        "words": {"width": 768, "depth": 6, "n_heads": 12},
        "projection": 256,
        "recipe": {"lr": 2e-4, "weight_decay": 0.2},
    },
}
# The paper changes nothing about a record before it is encoded.
_UNCHANGED: Final = AugmentConfig(lead_drop_records=0.0, gain=0.0, noise_mv=0.0)


class WordsConfig(Config):
    """The reports as words.

    Attributes:
        width: of a word.
        depth: blocks of the decoder, and of the reader of sentences.
        n_heads: attention heads.
        vocabulary_size: most entries; a vocabulary may have fewer.
        gathered: queries by which the decoder reads a recording.
        sentences: of a report that are looked for, at most.
    """

    width: Annotated[int, Field(gt=0)] = 192
    depth: Annotated[int, Field(gt=0)] = 2
    n_heads: Annotated[int, Field(gt=0)] = 6
    vocabulary_size: Annotated[int, Field(ge=LEAST_SIZE)] = 2000
    gathered: Annotated[int, Field(gt=0)] = 128
    sentences: Annotated[int, Field(gt=0)] = 8


class MelpConfig(AlignedConfig):
    """Settings of melp.

    Attributes:
        words: decoder, reader of sentences, and their vocabulary.
        moments: queries that gather what sentences look for.
        caption: weight of writing the report, beside the contrast of wholes.
        local: weight of the contrast of sentences.
    """

    name: Literal["melp"] = "melp"
    encoder: component(ENCODERS) = Field(default={"name": "wav2vec1d", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    augment: AugmentConfig = _UNCHANGED
    recipe: Recipe = Recipe(lr=5e-4)
    words: WordsConfig = WordsConfig()
    moments: Annotated[int, Field(gt=0)] = 12
    caption: Annotated[float, Field(ge=0)] = 2.0
    local: Annotated[float, Field(ge=0)] = 0.2


class Melp(ReadsWords, Aligned):
    """ECG encoder with both projections; queries and a reader of sentences; queries and a decoder of reports."""

    name: ClassVar[str] = "melp"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding", "tokens"})

    def __init__(self, config: MelpConfig) -> None:
        super().__init__(config)
        self.make_room(config.words.vocabulary_size)
        words, width = config.words, self.encoder.width
        self.moments = QueryPool(width, words.width, config.moments, words.n_heads)
        self.gathered = QueryPool(width, words.width, words.gathered, words.n_heads)
        self.decoder = CaptionDecoder(words.vocabulary_size, words.width, words.width, words.depth, words.n_heads)
        self.sentences = SentenceReader(words.width, words.depth, words.n_heads)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Contrast of wholes, `caption` times that of the next word, and `local` times that of sentences.

        Terms: `loss`, `align`, `caption` (per entry of the vocabulary), `local`, and the learned `temperature`.
        """
        del progress
        assert batch.text is not None
        assert batch.text.embedding is not None
        tokens = self.encoder.read(augment(self.preprocess(batch), self.config.augment))
        signal = F.normalize(self.signal_vector(tokens), dim=-1)
        report = self.project_text(batch.text.embedding)
        words, moments, sentences, there = self._read(batch.text, tokens)
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(signal.device.type, enabled=False):
            align = info_nce(signal.float(), report.float(), self.scale, batch.text.report_id >= 0)
            local = local_info_nce(moments.float(), sentences.float(), there)
        loss = align + self.config.caption * words + self.config.local * local
        terms = {"loss": loss, "align": align, "caption": words, "local": local, "temperature": 1 / self.scale}
        return Step(loss, {name: term.detach() for name, term in terms.items()})

    def _read(self, text: TextBatch, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scalar cross-entropy of the words, moments (b, m, d), sentences (b, s, d), and which of these there are."""
        assert text.token_ids is not None
        assert text.token_mask is not None
        ids, mask = text.token_ids, text.token_mask
        # The word behind each one but the last, (b, token - 1, entry).
        logits = self.decoder(ids[:, :-1], self.gathered(tokens.tokens, tokens.mask))
        surprise = F.cross_entropy(logits.float().transpose(1, 2), ids[:, 1:], reduction="none")
        words = mean_over_active(surprise, mask[:, 1:])
        sentence = sentence_of(ids, mask, SENTENCE_ENDS, DIGITS, SPACE)
        read = self.sentences(self.decoder.embed(ids), mask, sentence, self.config.words.sentences)
        return words, self.moments(tokens.tokens, tokens.mask), *read
