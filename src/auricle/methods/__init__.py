"""Methods: one file each, found by name; and how a trained one is saved, loaded and shared.

Saved weights are a folder of two files: `auricle.json` (method, resolved configuration, version, where it came from)
and `model.safetensors`. Nothing pickled is written or read.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from auricle import __version__
from auricle.atomic import write_json, write_with
from auricle.config import configure, dump
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import CheckpointError, ConfigError
from auricle.methods._aligned import Aligned, AlignedConfig, Comparing, ComparingConfig, TextConfig
from auricle.methods._base import (
    AlignsText,
    Classifies,
    Method,
    MethodConfig,
    Progress,
    ReadsEmbeddings,
    ReadsTokens,
    Recipe,
    Reconstruction,
    Reconstructs,
    Step,
)
from auricle.methods._classifier import Answering, Classifier, ClassifierConfig
from auricle.methods._foreign import check_store, foreign_card, foreign_file, foreign_of, load_foreign
from auricle.over_age import AnswerSets, CalibrationOverAge
from auricle.registry import Registry

METHODS = Registry("method", "auricle.methods")

# Raised when saved weights stop meaning what they meant; older ones are then refused by name, never guessed.
WEIGHTS_VERSION: Final = 2
_CARD, _TENSORS = "auricle.json", "model.safetensors"
_IN_A_CARD: Final[Mapping[str, type]] = {"method": str, "config": dict, "about": dict}
# Weights that come with auricle, by name, made by examples/weights.sh; and those that are asked where none are named.
SHIPPED: Final = {"lisa-nano": Path(__file__).parents[1] / "weights" / "lisa-nano"}
SHIPPED_WEIGHTS: Final = SHIPPED["lisa-nano"]
_PROMPT: Final = re.compile(r"prompt\d+")


def list_methods() -> list[str]:
    """Names of all methods, other people's included."""
    return METHODS.names()


def create_method(name: str, preset: str | None = None, **overrides: Any) -> Method:
    """A fresh method, for example `create_method("lisa", "nano")`."""
    return build_method(configure(METHODS, {"name": name, "preset": preset, **overrides}))


def build_method(config: MethodConfig) -> Method:
    """A fresh method of a resolved configuration."""
    method: Method = METHODS.get(config.name).cls(config)
    return method


def save_method(method: Method, folder: Path | str, about: Mapping[str, Any] | None = None) -> None:
    """Write weights and card to `folder`, each whole or not at all.

    Args:
        method: what to save.
        folder: made if needed.
        about: facts to keep with the weights: data, steps, seed.
    """
    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}

    def write_tensors(path: Path) -> None:
        save_file(tensors, path)
        path.chmod(0o644)  # as any other file, so that a colleague can read it

    write_with(folder / _TENSORS, write_tensors)
    card = {
        "weights_version": WEIGHTS_VERSION,
        "auricle": __version__,
        "method": method.config.name,
        "config": dump(method.config),
        "sha256": _sum_of(folder / _TENSORS),
        "n_parameters": sum(parameter.numel() for parameter in method.parameters()),
        "about": dict(about or {}),
        "use": RESEARCH_USE,
    }
    write_json(folder / _CARD, card)


def _sum_of(path: Path) -> str:
    """The SHA-256 of a file, by which a damaged or exchanged one is known."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_saved(folder: Path) -> bool:
    """Whether a folder holds weights as `save_method` writes them: their tensors and, written last, their card."""
    return (folder / _CARD).exists() and (folder / _TENSORS).exists()


def files_of(where: Path | str) -> tuple[Path, ...]:
    """The card and the tensors of saved weights.

    Args:
        where: as in `load_card`.

    Raises:
        CheckpointError: as in `load_card`.
    """
    folder = load_card(where)[1]
    return tuple(folder / name for name in (_CARD, _TENSORS))


def keep_test(where: Path | str, test: Mapping[str, Any]) -> None:
    """Add to the card of saved weights how they were tested, which `auricle predict` says beside its answers.

    Args:
        where: as in `load_card`.
        test: `source`, `task` and `protocol` of the test, `n_records`, and `auroc` by class. It takes the place of an
            earlier one of the same three.

    Raises:
        CheckpointError: as in `load_card`.
        ConfigError: they come along with auricle.
    """
    card, folder = own_card(where)
    same = ("source", "task", "protocol")
    others = [one for one in card["about"].get("tests", ()) if any(one.get(key) != test.get(key) for key in same)]
    card["about"]["tests"] = [*others, dict(test)]
    write_json(folder / _CARD, card)


def keep_calibration(
    where: Path | str,
    calibration: Mapping[str, tuple[float, float]],
    over_age: CalibrationOverAge | None,
    sets: AnswerSets | None,
    facts: Sequence[Mapping[str, Any]],
) -> None:
    """Write the calibration of saved weights into their card, in place of an earlier one.

    Args:
        where: as in `load_card`.
        calibration: factor and shift of the logit, by class.
        over_age, sets: what depends on the age; None where nothing does.
        facts: of each class, on what it was calibrated.

    Raises:
        CheckpointError: as in `load_card`.
        ConfigError: they come along with auricle.
    """
    card, folder = own_card(where)
    card["config"]["calibration"] = {name: list(pair) for name, pair in calibration.items()}
    card["config"] |= {"over_age": over_age and dump(over_age), "sets": sets and dump(sets)}
    card["about"]["calibrated"] = [dict(one) for one in facts]
    write_json(folder / _CARD, card)


def own_card(where: Path | str) -> tuple[dict[str, Any], Path]:
    """The card of saved weights that may be written into, and the folder it lies in.

    Args:
        where: as in `load_card`.

    Raises:
        ConfigError: they come along with auricle, and everybody on this machine reads them.
        CheckpointError: as in `load_card`.
    """
    card, folder = load_card(where)
    if folder.resolve() in {path.resolve() for path in SHIPPED.values()}:
        raise ConfigError(f"{where} comes along with auricle and stays as it is: copy {folder} and name the copy")
    return card, folder


def load_card(where: Path | str) -> tuple[dict[str, Any], Path]:
    """The card of saved weights and the folder it lies in.

    Args:
        where: a folder of saved weights, a run folder, weights that come along by their name (`lisa-nano`, where no
            weights lie in a folder of that name), a name on the hub, or the TOML of foreign weights, of which a card is
            made, and which stands in place of the folder.

    Raises:
        CheckpointError: nothing there, not ours, or of another version.
        ConfigError: foreign weights, or what their TOML says of them, are wrong.
    """
    folder = Path(where)
    if not any((place / _CARD).exists() for place in (folder, folder / "model")):
        folder = SHIPPED.get(str(where), folder)
    if not (folder / _CARD).exists() and (folder / "model" / _CARD).exists():
        folder = folder / "model"  # a run folder keeps its weights there
    foreign = None if (folder / _CARD).exists() else foreign_file(folder)
    if foreign is not None:
        return {"weights_version": WEIGHTS_VERSION, "auricle": __version__, **foreign_card(foreign)}, foreign
    if not folder.exists():
        folder = _download(str(where))
    try:
        card: dict[str, Any] = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        version = card["weights_version"]
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"{folder}: no {_CARD} in it; give a folder that save_method wrote, or for weights from elsewhere a TOML "
            "that says what they read (docs/foreign_weights.md)"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / _CARD}: not a card of auricle weights ({error}): copy the whole folder again"
        ) from None
    if version != WEIGHTS_VERSION:
        made_by = card.get("auricle", "of their time")
        other = f"use auricle {made_by} or " if made_by != __version__ else ""  # which between releases may be its own
        remedy = "train again"
        if isinstance(version, int) and version > WEIGHTS_VERSION:
            remedy = "take a newer auricle"
        raise CheckpointError(
            f"{folder}: weights of version {version}, this auricle ({__version__}) reads version {WEIGHTS_VERSION}: "
            f"{other}{remedy}"
        )
    lacking = [key for key, kind in _IN_A_CARD.items() if not isinstance(card.get(key), kind)]
    if lacking:
        raise CheckpointError(
            f"{folder / _CARD}: not a card of auricle weights (it lacks its {lacking[0]}): copy the whole folder again"
        )
    return card, folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=[_CARD, "*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: no such folder, not the name of the weights that come along ({SHIPPED_WEIGHTS}), and the hub did "
            f"not give it ({type(error).__name__}): look how it is spelt, or give a folder of weights"
        ) from None


def load_method(where: Path | str) -> Method:
    """Rebuild a method from saved weights alone, in evaluation mode; or from foreign weights, by their TOML.

    Raises:
        CheckpointError: the folder is not ours, or its tensors do not fit its configuration.
        ConfigError: foreign weights, or what their TOML says of them, are wrong.
    """
    card, folder = load_card(where)
    if card["method"] == "foreign":
        return load_foreign(folder)
    try:
        method = build_method(configure(METHODS, {**card["config"], "name": card["method"]}))
    except ConfigError as error:
        raise CheckpointError(f"{folder}: its configuration does not fit this auricle: {error}") from None
    method.load_state_dict(read_tensors(folder, method))
    return method.eval()


def read_tensors(folder: Path, method: Method) -> dict[str, torch.Tensor]:
    """The tensors of saved weights, checked by name and shape against a method.

    Raises:
        CheckpointError: unreadable, or another set of names or shapes, whose first difference the message names; a
            number that is not finite; or another file than the card was written for.
    """
    try:
        tensors = load_file(folder / _TENSORS)
    except (FileNotFoundError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder / _TENSORS}: cannot be read ({error}): copy these weights again, or train them again"
        ) from None
    wanted = {name: tuple(tensor.shape) for name, tensor in method.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = [name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f"{folder}: {len(wrong)} tensors do not fit, the first being {first}: "
            f"saved {found.get(first, 'nothing')}, expected {wanted.get(first, 'nothing')}: {_CARD} and {_TENSORS} are "
            "not of one run, so copy both again"
        )
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{folder / _TENSORS}: {broken[0]} holds numbers that are not finite: copy it again")
    # Cards of before it was kept have none.
    if load_card(folder)[0].get("sha256") not in (None, _sum_of(folder / _TENSORS)):
        raise CheckpointError(
            f"{folder / _TENSORS}: is not the file that {_CARD} was written for (its SHA-256 differs): copy both again"
        )
    return tensors


def init_from(method: Method, where: Path | str) -> None:
    """Start a method from another run of the same method, heads included; prompts that it carries are left out.

    Raises:
        CheckpointError: the two differ in a tensor.
    """
    _, folder = load_card(where)
    donor, own = load_method(where).state_dict(), method.state_dict()
    kept = {name: tensor for name, tensor in donor.items() if not _PROMPT.fullmatch(name)}
    differing = [n for n in own.keys() | kept.keys() if n not in own or n not in kept or own[n].shape != kept[n].shape]
    if differing:
        raise CheckpointError(
            f"{folder}: its weights are not this run's ({len(differing)} tensors differ, first {min(differing)}); "
            "without init_heads a run starts from its encoder alone"
        )
    method.load_state_dict(kept)


def init_encoder_from(method: Method, where: Path | str) -> None:
    """Start a method's encoder from another run's, and let a second stage keep what else the first has learned.

    Fresh gates keep their start, which is the identity; gates of the other run that this one has not are left behind,
    with a warning.

    Raises:
        CheckpointError: the two encoders differ.
    """
    donor_method = load_method(where)
    other = donor_method.encoder
    own = method.encoder.state_dict()
    gates = other.gate_tensors()
    left = gates - own.keys()
    told, tells = (getattr(one.config, "gate", None) for one in (donor_method, method))
    # Under another code the same numbers would mean other ages.
    if told is not None and tells is not None and (told.code, told.n_fourier) != (tells.code, tells.n_fourier):
        left |= other.gate_tensors("age")
    if left:
        warnings.warn(f"{where}: its gates are left behind, because this run has none of that kind", stacklevel=2)
    donor = {name: tensor for name, tensor in other.state_dict().items() if name not in left}
    fresh = method.encoder.gate_tensors() - donor.keys()
    differing = [n for n in (own.keys() | donor.keys()) - fresh if n not in own or n not in donor]
    differing += [n for n in own.keys() & donor.keys() if own[n].shape != donor[n].shape]
    if differing:
        raise CheckpointError(
            f"{where}: its encoder is not this run's ({len(differing)} tensors differ, first {sorted(differing)[0]})"
        )
    method.encoder.load_state_dict({**own, **donor})
    method.take_over(donor_method)


__all__ = [
    "METHODS",
    "SHIPPED",
    "SHIPPED_WEIGHTS",
    "Aligned",
    "AlignedConfig",
    "AlignsText",
    "Answering",
    "Classifier",
    "ClassifierConfig",
    "Classifies",
    "Comparing",
    "ComparingConfig",
    "Method",
    "MethodConfig",
    "Progress",
    "ReadsEmbeddings",
    "ReadsTokens",
    "Recipe",
    "Reconstruction",
    "Reconstructs",
    "Step",
    "TextConfig",
    "build_method",
    "check_store",
    "create_method",
    "foreign_of",
    "init_encoder_from",
    "init_from",
    "list_methods",
    "load_card",
    "load_method",
    "own_card",
    "save_method",
]  # fmt: skip
