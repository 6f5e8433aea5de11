"""Networks that were not made here: one of `transformers` with safetensors, or an ONNX graph. No code of theirs is run.

A network takes one tensor and gives one. It can be built from what is kept in a configuration, without the files it
came from: a network of `transformers` from its own configuration as JSON, a graph from its bytes, which are a tensor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from auricle.errors import ConfigError, require
from auricle.nn.runtime import EXTRA, session
from auricle.safe_weights import UNUSED, safe_folder

CONFIG: Final = "config.json"
_OLD_SUFFIXES: Final = (".bin", ".pt", ".pth")
# What a configuration may ask for that runs or fetches something beside the tensors of its folder.
_REFUSED: Final = (
    "auto_map", "custom_pipelines", "quantization_config", "transformers_weights", "use_kernels",
    "use_timm_backbone", "use_pretrained_backbone", "adapter_kwargs",
)  # fmt: skip
# What hides or skips parts in training there is drawn from NumPy, which no seed of a step reaches, or leaves parameters
# without a gradient.
_QUIET: Final = {"apply_spec_augment": False, "layerdrop": 0.0}
_NUMPY_OF: Final = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
# The largest graph that fits into one protobuf message.
_MOST_BYTES: Final = 2**31 - 1


class Network(nn.Module):
    """What is fed one tensor and gives one.

    Attributes:
        is_fixed: whether it came finished: it can neither be trained nor drawn afresh.
    """

    is_fixed: bool = False

    def refuses(self, shape: tuple[int, ...]) -> str:
        """Why a tensor of this shape (its first axis aside) cannot be read, as far as the network says it; or empty."""
        del shape
        return ""

    def rank(self) -> int | None:
        """How many axes its input has, where it says so."""
        return None


class HuggingFace(Network):
    """A network of `transformers`.

    Args:
        architecture: its configuration as JSON.
        output: which output is read; `last_hidden_state` where empty.
        model: the network with its weights; built with fresh ones where None.

    Raises:
        ConfigError: the configuration names no network of `transformers`, or asks to run or fetch something.
        MissingExtraError: transformers is not installed.
    """

    def __init__(self, architecture: str, output: str = "", model: nn.Module | None = None) -> None:
        super().__init__()
        self.output = output or "last_hidden_state"
        self.model = model if model is not None else _fresh(architecture)
        for name, parameter in self.model.named_parameters():
            # What stands for hidden moments is read by nobody here: several processes would wait for its gradient.
            parameter.requires_grad_(not name.endswith("masked_spec_embed"))

    def forward(self, x: Tensor) -> Tensor:
        """The output that is read, of an input whose first axis is the record.

        Raises:
            ConfigError: there is no such output.
        """
        given = self.model(**{str(self.model.main_input_name): x, "return_dict": True})
        said = given.get(self.output)
        if not isinstance(said, Tensor):
            there = [name for name, value in given.items() if isinstance(value, Tensor)]
            raise ConfigError(f"there is no output {self.output!r}: set output.name to one of {', '.join(there)}")
        return said

    def stacks(self) -> Iterator[tuple[str, nn.ModuleList]]:
        """Lists of alike modules by their dotted names, the longest first: blocks of a transformer are the first."""
        lists = [(name, part) for name, part in self.model.named_modules() if isinstance(part, nn.ModuleList)]
        alike = [(name, part) for name, part in lists if len(part) and len({type(one) for one in part}) == 1]
        yield from sorted(alike, key=lambda pair: -sum(parameter.numel() for parameter in pair[1].parameters()))


def _fresh(architecture: str) -> nn.Module:
    transformers = require("transformers", "text")
    try:
        values = checked(json.loads(architecture), "the configuration of the network")
        config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
        model: nn.Module = transformers.AutoModel.from_config(
            config, trust_remote_code=False, attn_implementation="eager", dtype=torch.float32
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"no network of transformers: {_line(error)}") from None
    return model


def checked(values: Any, where: str) -> dict[str, Any]:
    """The values of a `config.json` that names a network of `transformers` and nothing that is run or fetched.

    Raises:
        ConfigError: it asks for more, or names no network.
    """
    if not isinstance(values, Mapping) or "model_type" not in values:
        raise ConfigError(f"{where}: names no `model_type`: it must be a configuration of transformers")
    for key, value in _entries(values):
        implementation = key.endswith("attn_implementation") and value not in (None, "eager", "sdpa")
        if implementation or (key in _REFUSED and value):
            more = " (code of its own)" if key == "auto_map" else ""
            raise ConfigError(
                f"{where}: asks for {key}{more}, and nothing is run or fetched beside the weights: take it out where "
                "the network is one of transformers without it, or export the network to ONNX"
            )
    return dict(values)


def _entries(values: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of a configuration and of all tables in it."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield str(key), value
            yield from _entries(value)
    elif isinstance(values, list):
        for value in values:
            yield from _entries(value)


def read_folder(where: Path, output: str) -> tuple[HuggingFace, str]:
    """A network with its weights from a Hugging Face folder, and its configuration as JSON.

    Args:
        where: the folder, or a file of older weights (`.bin`, `.pt`) beside a `config.json`.
        output: as in `HuggingFace`.

    Raises:
        ConfigError: no such folder, no weights in it or other ones than its configuration needs, or it asks to run or
            fetch something; in one line.
        MissingExtraError: transformers is not installed.
    """
    transformers = require("transformers", "text")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder, name = (where, where.name) if where.is_dir() else (where.parent, where.name)
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{where}: no {CONFIG} beside the weights to say what network they are of: give a Hugging Face folder, or "
            "export the network to ONNX"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{folder / CONFIG}: not JSON: {error}") from None
    checked(values, str(folder / CONFIG))
    if (folder / "adapter_config.json").exists():
        raise ConfigError(f"{folder}: holds an adapter of another network: merge the two and save them as one")
    folder = safe_folder(folder, str(where), _old_weights(where))
    try:
        model, told = transformers.AutoModel.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, output_loading_info=True,
            attn_implementation="eager", dtype=torch.float32,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise ConfigError(f"{where}: cannot be loaded: {_line(error)}") from None
    unused = [part for part in UNUSED if part not in output]
    missing = [key for key in sorted(told["missing_keys"]) if not any(part in key for part in unused)]
    wrong = missing + sorted(str(key) for key in told["mismatched_keys"])
    if wrong:
        raise ConfigError(f"{where}: {len(wrong)} tensors of {name} are missing or of another shape, first {wrong[0]}")
    for key, value in _QUIET.items():
        if hasattr(model.config, key):
            setattr(model.config, key, value)
    return HuggingFace("", output, model), json.dumps(json.loads(model.config.to_json_string(use_diff=False)))


def _old_weights(where: Path) -> str:
    """The name of the file with the older weights of a folder; of no file where there are safetensors.

    Raises:
        ConfigError: there are no weights, or several files with some.
    """
    if where.is_file():
        return where.name
    if any(where.glob("*.safetensors")):
        return ""
    old = sorted(path.name for path in where.iterdir() if path.suffix in _OLD_SUFFIXES)
    if len(old) != 1:
        held = f"{len(old)} files of older weights ({old[0]} ...): name one of them" if old else "no *.safetensors"
        raise ConfigError(f"{where}: holds {held}; weights are read from model.safetensors, or from one .bin or .pt")
    return old[0]


class OnnxGraph(Network):
    """An ONNX graph, run by onnxruntime; its bytes are a buffer and travel with saved weights.

    Args:
        n_bytes: size of the graph.
        fed: which input is fed; the only one where empty.
        read: which output is read; the only one where empty.
    """

    is_fixed = True
    graph: Tensor

    def __init__(self, n_bytes: int, fed: str = "", read: str = "") -> None:
        super().__init__()
        self.wanted_input, self.wanted_output = fed, read
        self.register_buffer("graph", torch.zeros(n_bytes, dtype=torch.uint8))
        self._session: Any = None
        self._session_of: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None, "_session_of": None}  # it can be made again, and cannot be copied

    @property
    def running(self) -> Any:
        """The session, begun when it is first asked.

        Raises:
            ConfigError: the bytes are no graph that onnxruntime runs.
        """
        held = self.graph.data_ptr(), self.graph._version
        if self._session_of != held:  # never asked, or other bytes were loaded since
            try:
                self._session = session(self.graph.cpu().numpy().tobytes())
            except Exception as error:  # onnxruntime raises classes of its own
                raise ConfigError(f"the graph cannot be run: {_line(error)}") from None
            self._session_of = held
        return self._session

    @property
    def fed(self) -> Any:
        """The input that is fed.

        Raises:
            ConfigError: there is no such input, or there are several, or it takes no floating-point numbers.
        """
        inputs = {one.name: one for one in self.running.get_inputs()}
        name = self.wanted_input or next(iter(inputs))
        if name not in inputs:
            raise ConfigError(f"there is no input {name!r}: set tensor.name to one of {', '.join(inputs)}")
        if len(inputs) > 1:
            raise ConfigError(f"the graph takes {', '.join(inputs)}, and is fed one tensor: export it with one input")
        if inputs[name].type not in _NUMPY_OF:
            raise ConfigError(f"the input {name!r} takes {inputs[name].type}: export it for floating-point numbers")
        return inputs[name]

    @property
    def read(self) -> str:
        """The output that is read.

        Raises:
            ConfigError: there is no such output, or there are several and none is named.
        """
        outputs = [one.name for one in self.running.get_outputs()]
        wanted = self.wanted_output
        if wanted not in outputs and (wanted or len(outputs) > 1):
            what = f"there is no output {wanted!r}" if wanted else "the graph has several outputs"
            raise ConfigError(f"{what}: set output.name to one of {', '.join(outputs)}")
        return wanted or str(outputs[0])

    def rank(self) -> int | None:
        """How many axes its input has."""
        shape = self.fed.shape
        return len(shape) if shape else None

    def refuses(self, shape: tuple[int, ...]) -> str:
        """Why a tensor of this shape (its first axis aside) cannot be read, as far as the graph says it; or empty."""
        declared = list(self.fed.shape or ())
        wrong = len(declared) != 1 + len(shape) or any(
            isinstance(size, int) and size != given for size, given in zip(declared[1:], shape, strict=True)
        )
        if not declared or not wrong:
            return ""
        told = ", ".join("any" if not isinstance(size, int) else str(size) for size in declared[1:])
        return f"the graph reads ({told}) of each record, and would be given ({', '.join(map(str, shape))})"

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The output that is read, of an input whose first axis is the record; no gradient passes."""
        fed, read = self.fed, self.read
        given = x.detach().float().cpu().numpy().astype(_NUMPY_OF[fed.type], copy=False)
        at_once = fed.shape[0] if fed.shape and isinstance(fed.shape[0], int) else len(given)
        if at_once < 1 or len(given) % at_once:
            raise ConfigError(f"the graph takes {at_once} records at a time: export it for batches of any size")
        parts = [
            self.running.run([read], {fed.name: given[first : first + at_once]})[0]
            for first in range(0, len(given), at_once)
        ]
        return torch.from_numpy(np.concatenate(parts).astype(np.float32)).to(x.device)


def read_graph(path: Path, fed: str, read: str) -> OnnxGraph:
    """A graph from a file, with the weights that it may keep in files beside it.

    Args:
        path: the file.
        fed, read: as in `OnnxGraph`.

    Raises:
        ConfigError: no such file, no graph, or one of more than two gigabytes.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    onnx = require("onnx", EXTRA)
    try:
        held = onnx.load(str(path)).SerializeToString()
    except FileNotFoundError as error:
        missing = getattr(error, "filename", None) or path
        raise ConfigError(f"{missing}: no such file, and {path.name} needs it") from None
    except Exception as error:  # of protobuf, of onnx and of its checker
        raise ConfigError(f"{path}: no ONNX graph that can be read: {_line(error)}") from None
    if len(held) > _MOST_BYTES:
        raise ConfigError(f"{path}: more than two gigabytes, which one graph cannot hold")
    network = OnnxGraph(len(held), fed, read)
    network.graph.copy_(torch.frombuffer(bytearray(held), dtype=torch.uint8))
    return network


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
