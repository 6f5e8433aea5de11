"""Weights that were trained elsewhere, by a TOML that says what they are and what they read (docs/foreign_weights.md).

Where saved weights of ours are named, such a TOML can be named, or a folder with a `foreign.toml` in it: they are
probed, fine-tuned and gated as ours are. What is saved after that holds all of them, and needs the TOML no more.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.batch import ECGBatch
from auricle.config import Config, read_toml, validate
from auricle.data.store import Store
from auricle.encoders._foreign_network import Network, read_folder, read_graph
from auricle.encoders.foreign import Foreign, ForeignConfig, OutputConfig, TensorConfig, completed
from auricle.errors import ConfigError, DataError
from auricle.methods._base import Method, MethodConfig, Progress, Step
from auricle.signal.preprocess import InputSpec

FILE: Final = "foreign.toml"
_TOML, _ONNX = ".toml", ".onnx"
# Where Hugging Face folders keep the rate that an audio network was made for.
_RATE_FILE: Final = "preprocessor_config.json"
# Leads that are told one by one.
_LEADS_TOLD: Final = 4


class ForeignWeights(Config):
    """What the TOML of foreign weights says.

    Attributes:
        weights: relative to the TOML: a Hugging Face folder, a file of older weights (`.bin`, `.pt`) beside its
            `config.json`, or an `.onnx` file.
        title: what they are called in results; by default the name of the folder or file.
        citation: whom to cite for them; kept with results.
        licence: of the weights; kept with results.
        learned_from: data sets their training saw, by the names of `auricle list sources` where they have one there.
            Where empty it is unknown, and every result says that they may have seen its test part.
        absent_leads: whether they may be given zeros in place of leads that were not recorded. Where false, a store in
            which a record lacks one of `input.leads` is refused.
        input: what they read; signals are brought to it as for weights of ours.
        tensor: how that becomes the tensor they take.
        output: what is read of what they say.
    """

    weights: Annotated[str, Field(min_length=1)]
    title: str = ""
    citation: str = ""
    licence: str = ""
    learned_from: tuple[str, ...] = ()
    absent_leads: bool = False
    input: InputSpec = InputSpec()
    tensor: TensorConfig = TensorConfig()
    output: OutputConfig = OutputConfig()


class ForeignMethodConfig(MethodConfig):
    """Settings of weights from elsewhere, before anything was learned on them here."""

    name: str = "foreign"


class ForeignMethod(Method):
    """Weights from elsewhere: they are read, and begin runs of other methods. They have no objective of their own."""

    name: ClassVar[str] = "foreign"

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Never: how they were trained is not known here."""
        raise ConfigError("weights from elsewhere have no objective here: fine-tune them (auricle finetune)")


def foreign_file(where: Path) -> Path | None:
    """The TOML of foreign weights that a place names: a TOML itself, or a folder with a `foreign.toml`; else None."""
    if where.suffix == _TOML and not where.is_dir():
        return where
    return where / FILE if (where / FILE).is_file() else None


def foreign_card(path: Path) -> dict[str, Any]:
    """What the card of saved weights would say of foreign ones: method, config, n_parameters, about.

    Args:
        path: their TOML.

    Raises:
        ConfigError: the TOML is wrong, or its weights cannot be read, or cannot read what it says; in one line.
    """
    given, config, n_parameters = _known(path, _stamp(path))
    title = given.title or (path.parent / given.weights).resolve().name
    parts = [{"source": name, "task": None, "part": None, "others_left_out": False, "told_by_toml": True}
             for name in given.learned_from]  # fmt: skip
    about = {
        "source": title,
        "n_records": None,
        "task": None,
        "part": None,
        "others_left_out": None,
        "foreign": {"title": title, "citation": given.citation, "licence": given.licence},
        **({"parts": parts} if parts else {}),
    }
    return {"method": ForeignMethod.name, "config": config.model_dump(), "n_parameters": n_parameters, "about": about}


def load_foreign(path: Path) -> ForeignMethod:
    """Foreign weights as a method that can be asked for features, in evaluation mode.

    Raises:
        ConfigError: as `foreign_card`.
    """
    given, config, _ = _known(path, _stamp(path))
    method = ForeignMethod(config)
    method.encoder = Foreign(config.encoder, config.input, _network(path, given)[0])
    method.eval()
    return method


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when the TOML or the files of its weights do."""
    weights = path.parent / str(_values(path).get("weights", ""))
    files = [path, *([weights] if weights.is_file() else sorted(weights.glob("*")))]
    states = [(file.name, file.stat()) for file in files if file.is_file()]
    return tuple((name, state.st_mtime_ns, state.st_size) for name, state in states)


@lru_cache(maxsize=8)
def _known(path: Path, stamp: object) -> tuple[ForeignWeights, MethodConfig, int]:
    """The TOML, the whole configuration of its weights, and how many parameters they have; asked of them once."""
    del stamp
    given = validate(ForeignWeights, _values(path), str(path))
    network, found = _network(path, given)
    required = () if given.absent_leads else given.input.read
    fixed = {"tensor": given.tensor, "output": given.output, "required": required, **found}
    try:
        encoder = completed(ForeignConfig(**fixed), given.input, network)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    return given, ForeignMethodConfig(input=given.input, encoder=encoder), n_parameters


def _values(path: Path) -> dict[str, Any]:
    """The tables of the TOML.

    Raises:
        ConfigError: no such file, or no TOML of foreign weights.
    """
    values = read_toml(path)
    if "weights" not in values:
        raise ConfigError(f'{path}: names no weights: write weights = "FOLDER" or weights = "FILE.onnx" in it')
    return values


def _network(path: Path, given: ForeignWeights) -> tuple[Network, dict[str, Any]]:
    """The network of a TOML with its weights, and what a configuration must keep so that it can be built again."""
    where = path.parent / given.weights
    if not where.exists():
        raise ConfigError(f"{path}: no such weights: {where}")
    if where.suffix == _ONNX:
        graph = read_graph(where, given.tensor.name, given.output.name)
        return graph, {"kind": "onnx", "n_bytes": graph.graph.numel()}
    _check_rate(path, where if where.is_dir() else where.parent, given.input)
    network, architecture = read_folder(where, given.output.name)
    return network, {"kind": "hugging_face", "architecture": architecture}


def _check_rate(path: Path, folder: Path, spec: InputSpec) -> None:
    """Refuse a rate other than the one the folder says its network was made for."""
    try:
        told = json.loads((folder / _RATE_FILE).read_text(encoding="utf-8")).get("sampling_rate")
    except (OSError, ValueError, AttributeError):
        return
    if isinstance(told, int | float) and told != spec.rate_hz:
        raise ConfigError(
            f"{path}: input.rate_hz={spec.rate_hz:g}, and {folder.name}/{_RATE_FILE} says {told:g}: correct the one "
            "that is wrong"
        )


def foreign_of(about: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Title, citation and licence of the foreign weights that a run began with, by its card; None where it did not."""
    while about:
        if "foreign" in about:
            told: Mapping[str, Any] = about["foreign"]
            return told
        about = about.get("donor")
    return None


def check_store(method: Method, store: Store, rows_of: Callable[[], NDArray[np.int64]]) -> None:
    """Whether records of a store have what weights from elsewhere must have; weights of ours can do without.

    Warns where records hold less time, or less of the band, than such weights read.

    Args:
        method: whose encoder reads them.
        store: where they lie.
        rows_of: gives their numbers; not asked for weights of ours.

    Raises:
        DataError: records lack a lead that the weights were never without.
    """
    encoder, spec = method.encoder, method.config.input
    if not any(isinstance(part, Foreign) for part in encoder.parts()):
        return
    columns, rows = store.columns, rows_of()
    lengths = columns.n_samples[rows]
    lacking = [[lead for lead in encoder.required if lead not in layout] for layout in columns.layouts]
    lacks = np.array([bool(leads) for leads in lacking], dtype=bool)[columns.layout[rows]] & (lengths > 0)
    if lacks.any():
        first = lacking[columns.layout[rows[lacks][0]]]
        told = ", ".join(first[:_LEADS_TOLD]) + (" ..." if len(first) > _LEADS_TOLD else "")
        raise DataError(
            f"{store.path}: {int(lacks.sum())} of {len(rows)} records lack leads that the weights must have "
            f"({columns.record_ids(rows[lacks][:1])[0]}: {told}): leave them out, or set absent_leads = true in "
            "the TOML of the weights, which gives zeros in their place"
        )
    short = int((lengths < round(spec.seconds * store.rate_hz)).sum())
    if short:
        warnings.warn(
            f"{store.path}: {short} of {len(rows)} records are shorter than the {spec.seconds:g} s that the weights "
            "read: padded with zeros, which they may never have seen",
            stacklevel=3,
        )
    if store.rate_hz / 2 < spec.band_hz[1]:
        warnings.warn(
            f"{store.path}: holds nothing above {store.rate_hz / 2:g} Hz, and the weights read up to "
            f"{spec.band_hz[1]:g} Hz",
            stacklevel=3,
        )
