"""What every encoder is: the protocol, the tokens it returns, and the module base that keeps its modulation points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from auricle.nn.film import Condition, ModulationPoint, Modulations, attach
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
        group_contribution: (b, g) share of each group in the norm of `pooled`, summing to 1; None likewise.
    """

    tokens: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]
    group: Int[Tensor, " n"]
    time_ms: Float[Tensor, " n"]
    scale: Int[Tensor, " n"]
    pooled: Float[Tensor, "b width"]
    group_weight: Float[Tensor, "b g"] | None = None
    group_contribution: Float[Tensor, "b g"] | None = None


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


class EncoderModule(nn.Module):
    """Base of our encoders: collects modulation points while the network is built.

    Subclasses set `width`, call `add_point` for each place features may be modulated, and use the number it returns
    in `self.modulate[number](x, condition)`.
    """

    config: Any
    width: int
    group_names: tuple[str, ...] = ()

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.modulation_points: list[ModulationPoint] = []
        self.modulate = nn.ModuleList()

    def add_point(self, point: ModulationPoint) -> int:
        """Publish a modulation point and return its number."""
        self.modulation_points.append(point)
        self.modulate.append(Modulations())
        return len(self.modulation_points) - 1

    def attach(self, source: str, condition_width: int) -> None:
        """Let `source` (age, labs ...) modulate every point, starting as the identity."""
        attach(list(self.modulate), self.modulation_points, source, condition_width)

    def gate_parameters(self) -> list[nn.Parameter]:
        """Parameters of the modulations, which train faster than a frozen or slow backbone."""
        return list(self.modulate.parameters())
