"""A network that was trained elsewhere, fed as it was there: any of Hugging Face's `transformers`, or an ONNX graph.

Its weights are read by `auricle.methods` from a TOML that says what they are (docs/foreign_weights.md). Weights that
are saved here hold all of it: architecture and tensors, or the bytes of the graph. Gates of an age act behind every
block of a transformer, and on what a graph says, because nothing inside a graph can be changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.config import ComponentConfig, Config
from auricle.encoders._base import EncoderModule, Tokens
from auricle.encoders._foreign_network import HuggingFace, Network, OnnxGraph
from auricle.errors import ConfigError
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.pooling import masked_mean
from auricle.signal.preprocess import InputSpec

# It has one size, which is that of the weights.
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {}
# A lead, or a record, that spreads less than so many millivolts is flat: it is not made large.
_FLAT_MV: Final = 1e-3
# Records of the example by which a network is known: a number that is the size of nothing else.
_EXAMPLES: Final = 3


class TensorConfig(Config):
    """How millivolts become the tensor that the weights read.

    Attributes:
        layout: axes behind the record's: `lead_time`; `time_lead`; `flattened`, all leads one after another as one
            long channel; or `per_lead`, one channel, so that each lead is a record of its own and what is said of the
            leads that are present is averaged. Where a graph wants an axis of one channel for the last two, it gets it.
        per_mv: how much 1 mV is in the unit the weights learned: 1000 for microvolts.
        standardise: `none`; `lead` or `record`: mean 0 and standard deviation 1 over the recorded samples of each lead,
            or of all leads of a record together.
        name: of the input; the only one of a graph where empty. A network of transformers knows its own.
    """

    layout: Literal["lead_time", "time_lead", "flattened", "per_lead"] = "lead_time"
    per_mv: Annotated[float, Field(gt=0)] = 1.0
    standardise: Literal["none", "lead", "record"] = "none"
    name: str = ""

    @model_validator(mode="after")
    def _one_unit(self) -> TensorConfig:
        if self.standardise != "none" and self.per_mv != 1:
            raise ValueError("standardised signals have no unit: leave per_mv out")
        return self


class OutputConfig(Config):
    """What is read of what the weights say.

    Attributes:
        name: of the output: `last_hidden_state` of a network of transformers, and the only one of a graph, where empty.
        pool: `mean` over the tokens of recorded signal; `first`, the first token; or `pooled`, where the output is one
            vector for each record.
        features: which axis the features are: `last`, or the `second`, as convolutions have it.
    """

    name: str = ""
    pool: Literal["mean", "first", "pooled"] = "mean"
    features: Literal["last", "second"] = "last"


class ReadsConfig(Config):
    """What of an `InputSpec` a finished network cannot do without.

    Attributes:
        leads: the lead axis.
        rate_hz: samples per second.
        seconds: length.
    """

    leads: tuple[str, ...] = ()
    rate_hz: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(cls, spec: InputSpec) -> ReadsConfig:
        """What a specification says of it."""
        return cls(leads=spec.leads, rate_hz=spec.rate_hz, seconds=spec.seconds)


class ForeignConfig(ComponentConfig):
    """Settings of the encoder; all but `tensor` and `output` are found when the weights are first read.

    Attributes:
        kind: where the network comes from.
        architecture: of `hugging_face`: the configuration of the network, as JSON.
        n_bytes: of `onnx`: size of the graph.
        width: features of its output.
        blocks: dotted name of the list of blocks behind which gates act; empty where they act on the output.
        reads: lead axis, rate and length of what it was tried with; it is fed nothing else.
        tensor: how it is fed.
        output: what is read of it.
        required: leads that it was never without; empty where any may be absent.
    """

    name: Literal["foreign"] = "foreign"
    kind: Literal["hugging_face", "onnx"] = "hugging_face"
    architecture: str = ""
    n_bytes: Annotated[int, Field(ge=0)] = 0
    width: Annotated[int, Field(ge=0)] = 0
    blocks: str = ""
    reads: ReadsConfig = ReadsConfig()
    tensor: TensorConfig = TensorConfig()
    output: OutputConfig = OutputConfig()
    required: tuple[str, ...] = ()


class Foreign(EncoderModule):
    """Somebody else's network behind the contract of our encoders.

    Signals are brought to `spec.n_samples`: shorter ones are padded with zeros, longer ones are cut, because most
    networks read one length only. Tokens in the padding, and those of absent leads where leads have tokens of their
    own, have no part in the mean.

    Args:
        config: as `completed` gives it.
        spec: what the weights read.
        network: with its weights; where None, one of the same shape, whose weights are loaded later.

    Raises:
        ConfigError: the configuration was not completed, or the signals are not those it was completed for.
    """

    def __init__(self, config: ForeignConfig, spec: InputSpec, network: Network | None = None) -> None:
        super().__init__(spec)
        if not config.width:
            raise ConfigError("the encoder `foreign` is made of weights from elsewhere: name their TOML with --encoder")
        _check(config, spec)
        self.config, self.width, self.required = config, config.width, config.required
        self.network = network if network is not None else network_of(config)
        self.is_fixed = self.network.is_fixed
        self._condition: list[Condition | None] = [None]
        if not config.blocks:
            self.add_point(ModulationPoint("output", config.width, -1))
            return
        for number, block in enumerate(self._blocks()):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1))
            # No closure: a copy of the encoder must modulate by its own gates.
            block.register_forward_hook(partial(self._behind_block, number))

    def _blocks(self) -> nn.ModuleList:
        assert isinstance(self.network, HuggingFace)
        blocks = dict(self.network.stacks()).get(self.config.blocks)
        if blocks is None:
            raise ConfigError(f"the network has no list of blocks {self.config.blocks!r}")
        return blocks

    def _behind_block(self, number: int, _: nn.Module, __: object, output: Any) -> Any:
        """A block's output, its tensor modulated: (rows, .., d), where rows are the records, or leads of records."""
        (condition,) = self._condition
        if condition is None:
            return output
        x, *rest = output if isinstance(output, tuple) else (output,)
        repeated = {}
        for source, code in condition.items():
            repeated[source] = code.repeat_interleave(x.shape[0] // code.shape[0], 0)
        x = self.modulate[number](x, repeated)
        return (x, *rest) if isinstance(output, tuple) else x

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) what the network says, token by token, and (b, d) of each record as the configuration pools it."""
        n_samples = self.spec.n_samples
        short = max(0, n_samples - signal.shape[-1])
        signal = F.pad(signal[..., :n_samples], (0, short))
        time_mask = F.pad(time_mask[..., :n_samples], (0, short))
        given = laid_out(scaled(signal, lead_mask, time_mask, self.config.tensor), self.config.tensor, self.network)
        self._condition[0] = condition if self.config.blocks else None
        try:
            said = self.network(given)
        finally:
            self._condition[0] = None
        x = by_lead(said, signal.shape[0], signal.shape[1], self.config)  # (b, g, n, d)
        mask, time_ms = self._places(x, lead_mask, time_mask)
        if not self.config.blocks:
            x = self.modulate[0](x, condition)
        if self.config.output.pool == "first":
            pooled = masked_mean(x[:, :, 0], mask.any(-1))
        else:
            pooled = masked_mean(x.flatten(1, 2), mask.flatten(1))
        return Tokens.ungrouped(x.flatten(1, 2), mask.flatten(1), time_ms, pooled)

    def _places(
        self, x: Float[Tensor, "b g n d"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
    ) -> tuple[Bool[Tensor, "b g n"], Float[Tensor, " m"]]:
        """Which tokens stand for recorded signal, and where the (g * n) tokens lie, in milliseconds.

        Tokens are taken to lie side by side over what the network reads.
        """
        groups, n = x.shape[1], x.shape[2]
        recorded = lead_mask[:, :, None] & time_mask[:, None]  # (b, l, t)
        if self.config.tensor.layout == "flattened":
            read = recorded.flatten(1)[:, None]
        else:
            read = recorded if groups > 1 else recorded.any(1, keepdim=True)
        steps, length = torch.arange(n, device=x.device), read.shape[-1]
        # Samples up to each place: a token has some where there are more at its end than at its begin.
        up_to = F.pad(read.long().cumsum(-1), (1, 0))
        mask = up_to[..., (steps * length + length + n - 1) // n] > up_to[..., steps * length // n]
        place = (steps + 0.5) * (length / n)
        time_ms = (place % self.spec.n_samples) * (1000 / self.spec.rate_hz)
        return mask, time_ms.repeat(groups)


def _check(config: ForeignConfig, spec: InputSpec) -> None:
    """Refuse signals that the network was not made for.

    Raises:
        ConfigError: another axis, rate or length, or leads are left out that it must have.
    """
    reads = config.reads
    if ReadsConfig.of(spec) != reads:
        raise ConfigError(
            f"weights from elsewhere read {len(reads.leads)} leads of {reads.seconds:g} s at {reads.rate_hz:g} Hz and "
            f"nothing else, not {len(spec.leads)} of {spec.seconds:g} s at {spec.rate_hz:g} Hz: leave input.leads, "
            "input.seconds and input.rate_hz to their TOML"
        )
    left = [lead for lead in config.required if lead not in spec.read]
    if left:
        raise ConfigError(
            f"weights from elsewhere must have every lead, and {', '.join(left)} would be left out: set absent_leads = "
            "true in their TOML, or read all leads"
        )


def network_of(config: ForeignConfig) -> Network:
    """A network of a configuration's shape, its weights fresh, or zeros in place of a graph."""
    if config.kind == "onnx":
        return OnnxGraph(config.n_bytes, config.tensor.name, config.output.name)
    return HuggingFace(config.architecture, config.output.name)


def scaled(signal: Tensor, lead_mask: Tensor, time_mask: Tensor, config: TensorConfig) -> Tensor:
    """(b, l, t) in the unit that the weights learned, 0 under every false mask.

    Args:
        signal: (b, l, t) in the unit of the encoder's `InputSpec`, 0 under every false mask.
        lead_mask: (b, l)
        time_mask: (b, t)
        config: says which unit.
    """
    if config.standardise == "none":
        return signal * config.per_mv
    over = (2,) if config.standardise == "lead" else (1, 2)
    valid = lead_mask[:, :, None] & time_mask[:, None]
    n = valid.sum(over, keepdim=True).clamp_min(1)
    centred = torch.where(valid, signal - signal.sum(over, keepdim=True) / n, 0.0)
    spread = (centred.square().sum(over, keepdim=True) / n).sqrt()
    return centred / spread.clamp_min(_FLAT_MV)


def laid_out(signal: Float[Tensor, "b l t"], config: TensorConfig, network: Network) -> Tensor:
    """What the network is fed: (b, l, t), (b, t, l), (b, l * t) or (b * l, t), the last two as one channel if asked."""
    if config.layout == "lead_time":
        return signal
    if config.layout == "time_lead":
        return signal.transpose(1, 2)
    rows = signal.flatten(1) if config.layout == "flattened" else signal.flatten(0, 1)
    return rows[:, None] if network.rank() == 3 else rows


def by_lead(said: Tensor, n_records: int, n_leads: int, config: ForeignConfig) -> Float[Tensor, "b g n d"]:
    """What a network says as tokens (b, g, n, d): g is the leads where each has tokens of its own, else 1.

    Args:
        said: (r, d), (r, n, d) or (r, l, n, d), r being records, or leads of records; the features second if so said.
        n_records, n_leads: b and l.
        config: says how to read it.

    Raises:
        ConfigError: it is none of these.
    """
    per_lead = config.tensor.layout == "per_lead"
    shape = tuple(said.shape)
    if config.output.features == "second" and said.ndim > 2:
        said = said.flatten(2).transpose(1, 2)
    x = said[:, None] if said.ndim == 2 else said
    if x.ndim == 4 and x.shape[1] == 1 and n_leads != 1:
        x = x[:, 0]
    is_by_lead = x.ndim == 4 and x.shape[1] == n_leads and not per_lead
    if x.shape[0] != n_records * (n_leads if per_lead else 1) or not (x.ndim == 3 or is_by_lead):
        raise ConfigError(f"the output is {shape} for {n_records} records of {n_leads} leads: not tokens of records")
    if per_lead:
        x = x.reshape(n_records, n_leads, *x.shape[1:])
    elif not is_by_lead:
        x = x[:, None]
    if config.output.pool == "pooled" and x.shape[2] != 1:
        raise ConfigError(f"the output is {shape}, {x.shape[2]} tokens: output.pool=pooled is for one, say mean")
    return x


@torch.no_grad()
def completed(config: ForeignConfig, spec: InputSpec, network: Network) -> ForeignConfig:
    """A configuration with what only the network itself can tell: its width, and where gates can act.

    Args:
        config: how it is fed and read.
        spec: what the weights read.
        network: with its weights.

    Raises:
        ConfigError: it cannot read such signals, or has no such output; in one line.
    """
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(_EXAMPLES, len(spec.leads), spec.n_samples, generator=generator)
    given = laid_out(signal, config.tensor, network)
    asked = f"{len(spec.leads)} leads of {spec.seconds:g} s at {spec.rate_hz:g} Hz, layout {config.tensor.layout}"
    remedy = "make input.leads, input.rate_hz, input.seconds and tensor.layout those that the weights learned from"
    why = network.refuses(tuple(given.shape[1:]))
    if why:
        raise ConfigError(f"{why}: [input] says {asked}; {remedy}")
    stacks = list(network.stacks()) if isinstance(network, HuggingFace) else []
    try:
        said, seen = _watched(network.eval(), stacks, given)
    except ConfigError:
        raise
    except Exception as error:  # whatever somebody's network comes upon
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"the weights cannot read {tuple(given.shape)}, {asked}: {line}; {remedy}") from None
    width = by_lead(said, _EXAMPLES, len(spec.leads), config).shape[-1]
    blocks = next((name for name, stack in stacks if _are_blocks(seen[name], len(stack), width)), "")
    return config.model_copy(update={"width": width, "blocks": blocks, "reads": ReadsConfig.of(spec)})


# By the name of a list of modules: what each of them gave, by its number, call by call.
_Shapes = dict[str, dict[int, list[tuple[int, ...]]]]


def _watched(network: Network, stacks: Sequence[tuple[str, nn.ModuleList]], given: Tensor) -> tuple[Tensor, _Shapes]:
    """What a network says of an input, and the shapes of what the modules of its lists say."""
    seen: _Shapes = {name: {} for name, _ in stacks}
    hooks = [
        block.register_forward_hook(partial(_note_shape, seen[name].setdefault(number, [])))
        for name, stack in stacks
        for number, block in enumerate(stack)
    ]
    try:
        return network(given), seen
    finally:
        for hook in hooks:
            hook.remove()


def _note_shape(shapes: list[tuple[int, ...]], _: nn.Module, __: object, output: Any) -> None:
    """Keep the shape of what a module gives, if that is a tensor, or a tuple that begins with one."""
    x = output[0] if isinstance(output, tuple) and output else output
    shapes.append(tuple(x.shape) if isinstance(x, Tensor) else ())


def _are_blocks(seen: Mapping[int, list[tuple[int, ...]]], n: int, width: int) -> bool:
    """Whether each of n modules was asked once and gave features (records, .., width), rows of records together."""
    shapes = [shape for of_one in seen.values() for shape in of_one]
    asked_once = all(len(of_one) == 1 for of_one in seen.values()) and len(seen) == n
    return asked_once and all(len(shape) > 2 and shape[-1] == width and shape[0] % _EXAMPLES == 0 for shape in shapes)
