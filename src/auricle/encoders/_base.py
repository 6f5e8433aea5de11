"""What every encoder is: the protocol, the tokens it returns, and the module base that keeps its modulation points."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.nn.film import Code, Condition, ModulationPoint, Modulations, attach
from auricle.signal.preprocess import InputSpec


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an encoder makes of a batch.

    Attributes:
        tokens: (b, n, d) local features.
        mask: (b, n) true where a token stands for recorded signal.
        group: (n,) lead group of each token, -1 where a token sees all leads.
        time_ms: (n,) centre of each token in the crop.
        scale: (n,) number of the time scale, 0 the finest.
        pooled: (b, width) the record as a whole.
        group_weight: (b, g) inter-group attention, 0 for absent groups; None where there are no groups.
        group_contribution: (b, g) share of each group in the norm of `pooled`, summing to 1; or None.
    """

    tokens: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]
    group: Int[Tensor, " n"]
    time_ms: Float[Tensor, " n"]
    scale: Int[Tensor, " n"]
    pooled: Float[Tensor, "b width"]
    group_weight: Float[Tensor, "b g"] | None = None
    group_contribution: Float[Tensor, "b g"] | None = None

    @classmethod
    def ungrouped(
        cls,
        tokens: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"],
        time_ms: Float[Tensor, " n"],
        pooled: Float[Tensor, "b width"],
    ) -> Tokens:
        """Tokens of an encoder without lead groups and with one time scale: each token sees all leads.

        Args:
            tokens: local features.
            mask: true where a token stands for recorded signal.
            time_ms: centre of each token in the crop, on any device.
            pooled: the record as a whole.
        """
        n, device = tokens.shape[1], tokens.device
        group, scale = torch.full((n,), -1, device=device), torch.zeros(n, dtype=torch.long, device=device)
        return cls(tokens, mask, group, time_ms.to(device), scale, pooled)


def visible(
    signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b l t"]:
    """The signal with 0 under every false mask, whatever lay there (NaN included)."""
    return torch.where(lead_mask[:, :, None] & time_mask[:, None], signal, 0.0)


@runtime_checkable
class Encoder(Protocol):
    """The contract of an encoder; tests hold every registered one to it."""

    width: int
    group_names: tuple[str, ...]
    modulation_points: list[ModulationPoint]
    modulate: nn.ModuleList

    def __call__(
        self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None = None
    ) -> Tokens:
        """Encode (b, l, t) millivolts; nothing under a false mask may influence the result."""
        ...


class EncoderModule(nn.Module, ABC):
    """Base of our encoders: collects modulation points while the network is built, and what modulates them.

    Subclasses set `width`, implement `encode`, call `add_point` for each place features may be modulated, and use the
    number it returns in `self.modulate[number](x, condition)`. That nothing under a false mask is seen is kept here, by
    `forward`. An encoder may be made of encoders: what is attached to the whole is attached to every part of it.

    Attributes:
        scale_names: names of the time scales whose pooled features stand side by side; empty where there is one.
        picture_size: (height, width) of the pictures it reads; None where it reads signals alone.
        codes: by source ("age", "labs"): what turns a batch into the condition.
        is_fixed: whether its weights came finished: they can neither be trained nor drawn afresh.
        required: leads that its weights were never without; empty where any may be absent.
    """

    config: Any
    width: int
    group_names: tuple[str, ...] = ()
    scale_names: tuple[str, ...] = ()
    picture_size: tuple[int, int] | None = None
    is_fixed: bool = False
    required: tuple[str, ...] = ()

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.modulation_points: list[ModulationPoint] = []
        self.modulate = nn.ModuleList()
        self.modulate_output = Modulations()
        self.codes = nn.ModuleDict()

    def forward(
        self,
        signal: Float[Tensor, "b l t"],
        lead_mask: Bool[Tensor, "b l"],
        time_mask: Bool[Tensor, "b t"],
        condition: Condition | None = None,
    ) -> Tokens:
        """Encode signals; nothing under a false mask has an influence.

        Args:
            signal: in the unit of the encoder's `InputSpec`, at its rate and on its lead axis.
            lead_mask: true where a lead was recorded.
            time_mask: true inside the record, false in padding.
            condition: (b, d) by source, of what modulates this encoder.
        """
        tokens = self.encode(visible(signal, lead_mask, time_mask), lead_mask, time_mask, condition)
        return self.output(tokens, condition)

    def output(self, tokens: Tokens, condition: Condition | None) -> Tokens:
        """Tokens with `pooled` as what is attached to the output makes it; the last step of whoever encodes."""
        return replace(tokens, pooled=self.modulate_output(tokens.pooled, condition))

    @abstractmethod
    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """Tokens of signals (b, l, t) that are 0 wherever `lead_mask` (b, l) or `time_mask` (b, t) is false."""

    def read(self, batch: ECGBatch, condition: Condition | None = None) -> Tokens:
        """Encode a preprocessed batch, by default under the condition that its own codes make of it.

        What of the batch is read is the encoder's own affair: the signal, and in some the picture.
        """
        tokens: Tokens = self(batch.signal, batch.lead_mask, batch.time_mask, condition or self.condition(batch))
        return tokens

    def read_each(self, batch: ECGBatch, condition: Condition | None) -> Tokens:
        """Encode each record of a preprocessed batch under several conditions, such as one trace at several ages.

        Args:
            batch: b records.
            condition: (k * b, d) by source: the first of all records, then the second of all, and so on.

        Returns:
            Tokens of k * b records in that order. An encoder may do once what does not depend on the condition.
        """
        k = n_conditions(condition, len(batch))
        return self.read(batch if k == 1 else batch.select(torch.arange(len(batch)).repeat(k)), condition)

    def condition(self, batch: ECGBatch) -> Condition | None:
        """What is known of each record, by source; None where nothing modulates this encoder."""
        return {source: code.of(batch) for source, code in self.codes.items() if isinstance(code, Code)} or None

    def add_point(self, point: ModulationPoint) -> int:
        """Publish a modulation point and return its number."""
        self.modulation_points.append(point)
        self.modulate.append(Modulations())
        return len(self.modulation_points) - 1

    def parts(self) -> list[EncoderModule]:
        """This encoder and the encoders it is made of."""
        return [module for module in self.modules() if isinstance(module, EncoderModule)]

    def attach(self, source: str, code: Code, *, one_for_all_groups: bool = False) -> None:
        """Let `source` (age, labs ...) modulate every point of every part by its code, starting as the identity.

        Args:
            source: such as "age" or "labs".
            code: what turns a batch into the condition.
            one_for_all_groups: lead groups and scales share one gamma and beta at each point.
        """
        self.codes[source] = code
        self.attach_films(source, code.width, one_for_all_groups=one_for_all_groups)

    def attach_films(self, source: str, condition_width: int, *, one_for_all_groups: bool = False) -> None:
        """Let `source` modulate every point of every part, by films alone: another encoder holds the code.

        Args:
            source: such as "age" or "labs".
            condition_width: d of the code (b, d) that the films will be handed.
            one_for_all_groups: lead groups and scales share one gamma and beta at each point.
        """
        for part in self.parts():
            points = part.modulation_points
            if one_for_all_groups:
                points = [replace(point, groups=1, group_axis=None) for point in points]
            attach(list(part.modulate), points, source, condition_width)

    def attach_to_output(self, source: str, code: Code) -> None:
        """Let `source` add to the pooled vector (b, width) and to nothing else, starting with nothing.

        Under a linear head this is the code, made wider by a perceptron, beside the features.

        Args:
            source: such as "age".
            code: what turns a batch into the condition.
        """
        self.codes[source] = code
        output = ModulationPoint("output", self.width, -1)
        attach([self.modulate_output], [output], source, code.width, only_shifts=True)

    def gates(self) -> list[nn.Module]:
        """What acts for the attached sources: modulations of every part, and codes. Fresh, they change nothing."""
        return [*(place for part in self.parts() for place in (part.modulate, part.modulate_output)), self.codes]

    def gate_parameters(self) -> list[nn.Parameter]:
        """Parameters of the gates, which train faster than a frozen or slow backbone."""
        return [parameter for gate in self.gates() for parameter in gate.parameters()]

    def gate_tensors(self, source: str | None = None) -> set[str]:
        """Names of the gates' tensors in this encoder's state, those of one source or of all."""
        own = {id(tensor) for gate in self.gates() for tensor in gate.state_dict(keep_vars=True).values()}
        names = {name for name, tensor in self.state_dict(keep_vars=True).items() if id(tensor) in own}
        if source is None:
            return names
        acts = re.compile(rf"(^|\.)(codes|films)\.{re.escape(source)}\.")
        return {name for name in names if acts.search(name)}


def n_conditions(condition: Condition | None, n_records: int) -> int:
    """How many conditions there are for each of some records.

    Raises:
        ValueError: not equally many for each record and source.
    """
    rows = [code.shape[0] for code in condition.values()] if condition else [n_records]
    n_rows = rows[0]
    if any(other != n_rows for other in rows) or n_rows % max(1, n_records) or n_rows < n_records:
        raise ValueError(f"{n_rows} conditions for {n_records} records: give equally many for each, of every source")
    return n_rows // max(1, n_records)
