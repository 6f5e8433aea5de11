"""What methods share that read reports as words: the vocabulary, which travels with their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from auricle.errors import ConfigError
from auricle.methods._base import Method
from auricle.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from auricle.data.loader import Seen


class ReadsWords(Method):
    """A method whose words are those of the training reports; call `make_room` in the subclass's `__init__`."""

    pieces: Tensor
    vocabulary_size: int

    def make_room(self, vocabulary_size: int) -> None:
        """Room in the weights for a vocabulary.

        Args:
            vocabulary_size: most entries of it.
        """
        self.vocabulary_size = vocabulary_size
        self.register_buffer("pieces", torch.from_numpy(Vocabulary().to_bytes(vocabulary_size)))

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of these weights; before `prepare` it has an entry for each byte and no other."""
        return Vocabulary.from_bytes(self.pieces.cpu().numpy())

    def prepare(self, view: Seen) -> None:
        """Take the vocabulary of the training reports into the weights, once.

        Raises:
            ConfigError: there is no text, or the weights began from others that know other words.
        """
        super().prepare(view)
        if view.corpus is None or view.corpus.vocabulary is None:
            raise ConfigError(f"{self.name} reads the words of reports: pre-train it on a store that has them")
        own = view.corpus.vocabulary
        if self.vocabulary.pieces and self.vocabulary.pieces != own.pieces:
            raise ConfigError(
                f"{self.name}: the words of these reports are not those the weights were trained on, and their entries "
                "would mean others: leave init_heads out, so that the encoder alone is taken over"
            )
        self.pieces.copy_(torch.from_numpy(own.to_bytes(self.vocabulary_size)))
