"""Weights of a Hugging Face folder as safetensors: older ones (`pytorch_model.bin`, `.pt`) are converted once.

A .bin file is a pickle, which may run anything when it is read; it is read with `weights_only=True`, which refuses all
but tensors, and what is loaded from then on is the converted copy.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from auricle.atomic import locked
from auricle.errors import ConfigError, require

_OLD: Final = "pytorch_model.bin"
_NEW: Final = "model.safetensors"
_CONFIG: Final = "config.json"
# What may be missing in weights that were trained for a head of their own, or where nothing is hidden in training.
UNUSED: Final = ("pooler", "position_ids", "masked_spec_embed")
# Under what name a checkpoint of training keeps the weights beside other things.
_BESIDE: Final = ("state_dict", "model_state_dict", "model")
# What PyTorch calls the parts of a normed weight now, by what it called them before.
_RENAMED: Final = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}


def safe_folder(where: Path, name: str, old: str = _OLD) -> Path:
    """The folder itself where it has safetensors, else that of a converted copy, which is made if it is not there.

    Args:
        where: folder of a tower or of another network of `transformers`.
        name: what it is called in messages, such as "text tower 'minilm'".
        old: the file of the older weights in it.

    Raises:
        ConfigError: the old weights hold more than tensors, or are not those of their configuration.
    """
    if not (where / old).exists() or any(where.glob("*.safetensors")):
        return where
    with (where / old).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if (where / _CONFIG).exists():  # the same tensors may be read as something else by and by
        digest.update((where / _CONFIG).read_bytes())
    copy = _cache() / digest.hexdigest()[:24]
    if not (copy / _NEW).exists():
        copy.mkdir(parents=True, exist_ok=True)
        with locked(copy / ".lock", wait=True):
            if not (copy / _NEW).exists():
                _convert(where / old, copy, name)
    return copy


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "auricle" / "towers"


def _convert(old: Path, copy: Path, name: str) -> None:
    """Write the network of a folder into another one, weights as safetensors and last of all."""
    torch, transformers = require("torch", "text"), require("transformers", "text")
    where = old.parent
    try:
        held = torch.load(old, map_location="cpu", weights_only=True)
        config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
        model = transformers.AutoModel.from_config(config, trust_remote_code=False)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(
            f"{name}: {old.name} holds more than tensors, or is damaged; it is not read ({str(error).splitlines()[0]})"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} cannot be loaded: {str(error).splitlines()[0]}") from None
    own, wanted = _own(held, model.base_model_prefix), model.state_dict()
    missing = [key for key in wanted if key not in own and not any(part in key for part in UNUSED)]
    wrong = [key for key in wanted if key in own and own[key].shape != wanted[key].shape]
    if missing or wrong:
        raise ConfigError(
            f"{name}: {old.name} is not of its {_CONFIG} ({len(missing)} tensors missing, {len(wrong)} of "
            f"another shape, first {(missing + wrong)[0]})"
        )
    model.load_state_dict({key: own.get(key, tensor) for key, tensor in wanted.items()})
    for path in where.iterdir():  # the configuration, and a tokenizer
        if path.is_file() and path != old and path.suffix in (".json", ".txt", ".model"):
            shutil.copyfile(path, copy / path.name)
    require("safetensors.torch", "text").save_file(
        {key: tensor.contiguous().clone() for key, tensor in model.state_dict().items()},
        copy / f"{_NEW}.part", metadata={"format": "pt"},
    )  # fmt: skip
    (copy / f"{_NEW}.part").replace(copy / _NEW)


def _own(held: Any, base: str) -> dict[str, Any]:
    """The tensors of a network by the names it has today.

    Args:
        held: what the old file holds: tensors by name, or those beside other things of a training.
        base: under which name weights of a model with a head carry the network, such as `bert`.
    """
    tensors = held if isinstance(held, Mapping) else {}
    tensors = next((tensors[key] for key in _BESIDE if isinstance(tensors.get(key), Mapping)), tensors)
    own = {}
    for key, tensor in tensors.items():
        new = str(key).removeprefix(f"{base}.")
        for before, now in _RENAMED.items():
            if new.endswith(before):
                new = new.removesuffix(before) + now
        if hasattr(tensor, "shape"):
            own[new] = tensor
    return own
