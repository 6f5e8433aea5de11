"""Weights of a text tower as safetensors: older ones lie as `pytorch_model.bin`, and are converted once.

A .bin file is a pickle, which may run anything when it is read; it is read with `weights_only=True`, which refuses all
but tensors, and what is loaded from then on is the converted copy.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, Final

from auricle.atomic import locked
from auricle.errors import ConfigError, require

_OLD: Final = "pytorch_model.bin"
_NEW: Final = "model.safetensors"
# What may be missing in weights that were trained for a head of their own.
_UNUSED: Final = ("pooler", "position_ids")


def safe_folder(where: Path, name: str) -> Path:
    """The folder itself where it has safetensors, else that of a converted copy, which is made if it is not there.

    Args:
        where: folder of a tower.
        name: of the tower, for messages.

    Raises:
        ConfigError: the old weights hold more than tensors, or are not those of their configuration.
    """
    old = where / _OLD
    if not old.exists() or any(where.glob("*.safetensors")):
        return where
    with old.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:24]
    copy = _cache() / digest
    if not (copy / _NEW).exists():
        copy.mkdir(parents=True, exist_ok=True)
        with locked(copy / ".lock", wait=True):
            if not (copy / _NEW).exists():
                _convert(where, copy, name)
    return copy


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "auricle" / "towers"


def _convert(where: Path, copy: Path, name: str) -> None:
    """Write the tower of a folder into another one, weights as safetensors and last of all."""
    torch, transformers = require("torch", "text"), require("transformers", "text")
    try:
        tensors: dict[str, Any] = torch.load(where / _OLD, map_location="cpu", weights_only=True)
        config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
        model = transformers.AutoModel.from_config(config, trust_remote_code=False)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(
            f"text tower {name!r}: {_OLD} holds more than tensors, or is damaged; it is not read "
            f"({str(error).splitlines()[0]})"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"text tower {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    # Weights of a model with a head carry the tower under its name, such as `bert.`.
    prefix = f"{model.base_model_prefix}."
    own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in own and not any(part in key for part in _UNUSED)]
    wrong = [key for key in wanted if key in own and own[key].shape != wanted[key].shape]
    if missing or wrong:
        raise ConfigError(
            f"text tower {name!r}: {_OLD} is not of its config.json ({len(missing)} tensors missing, {len(wrong)} of "
            f"another shape, first {(missing + wrong)[0]})"
        )
    model.load_state_dict({key: own.get(key, tensor) for key, tensor in wanted.items()})
    for path in where.iterdir():  # the tokenizer
        if path.is_file() and path.name != _OLD and path.suffix in (".json", ".txt", ".model"):
            shutil.copyfile(path, copy / path.name)
    require("safetensors.torch", "text").save_file(
        {key: tensor.contiguous().clone() for key, tensor in model.state_dict().items()},
        copy / f"{_NEW}.part", metadata={"format": "pt"},
    )  # fmt: skip
    (copy / f"{_NEW}.part").replace(copy / _NEW)
