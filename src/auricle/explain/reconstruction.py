"""Absent leads drawn by a method over the true ones, with its uncertainty, and the errors in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.data.collate import windows_of
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import ConfigError, DataError
from auricle.leads import canonical
from auricle.methods import Method, Reconstructs
from auricle.pages.style import COLOURS, INK, MUTED, TEXT_PT, blank_figure
from auricle.recording import Recording
from auricle.signal.preprocess import TYPICAL_MV
from auricle.signal.preprocess import recorded as recorded_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN_SECONDS: Final = 5.0
_TRUTH, _DRAWN, _PAPER = "#8b8792", COLOURS[1], "#f0e2df"
_ROW_INCHES, _WIDTH_INCHES = 1.05, 11.0
_LEAST_HALF: Final = 0.6
BAND_SD: Final = 2.0


@dataclass(frozen=True, slots=True)
class LeadError:
    """How far a drawn lead is from the recorded one.

    Attributes:
        lead: its name.
        correlation: Pearson's, over all samples that were recorded; NaN for a flat lead.
        rmse: root mean square of the difference, in the unit of the traces.
        zero: root mean square of the lead itself, which is the error of drawing a flat line.
        inside: share of samples within two standard deviations, .95 where the uncertainty is right.
    """

    lead: str
    correlation: float
    rmse: float
    zero: float
    inside: float


@dataclass(frozen=True, slots=True)
class DrawnLeads:
    """All leads of one recording as a method reads and draws them.

    Attributes:
        leads: the method's lead axis.
        kept: leads the method was shown.
        recorded: leads there is a true trace of.
        rate_hz: of the arrays, the method's own.
        unit: of the arrays: mV, or "sd" where the method reads records of unknown amplitude.
        truth, mean, std: (l, t); truth is NaN where a lead was not recorded, and in windows that have less than half
            of it.
    """

    leads: tuple[str, ...]
    kept: tuple[str, ...]
    recorded: tuple[str, ...]
    rate_hz: float
    unit: str
    truth: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def errors(self) -> list[LeadError]:
        """The error of every lead that was hidden and recorded."""
        return [lead_error(name, *self._of(name)) for name in self.recorded if name not in self.kept]

    def _of(self, lead: str) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        row = self.leads.index(lead)
        return self.truth[row], self.mean[row], self.std[row]


def lead_error(
    lead: str, truth: NDArray[np.floating], mean: NDArray[np.floating], std: NDArray[np.floating]
) -> LeadError:
    """The error of one lead.

    Args:
        lead: its name.
        truth, mean, std: (t,) recorded trace, drawn trace, and its standard deviation, in one unit. What is NaN in
            the recorded trace is left out.
    """
    there = np.isfinite(truth)
    truth, mean, std = truth[there], mean[there], std[there]
    spread = float(truth.std() * mean.std())
    together = float(((truth - truth.mean()) * (mean - mean.mean())).mean())
    return LeadError(
        lead=lead,
        correlation=together / spread if spread > 0 else float("nan"),
        rmse=float(np.sqrt(np.square(truth - mean).mean())),
        zero=float(np.sqrt(np.square(truth).mean())),
        inside=float((np.abs(truth - mean) <= BAND_SD * std).mean()),
    )


@torch.no_grad()
def drawn_leads(method: Method, recording: Recording, keep: Sequence[str] | None = None) -> DrawnLeads:
    """Show a method some leads of a recording and let it draw all.

    Args:
        method: any that can draw absent leads.
        recording: read in windows of the method's length, side by side.
        keep: the leads the method may read; by default all that were recorded.

    Raises:
        ConfigError: the method cannot draw leads.
        DataError: a lead to keep was not recorded, or none of them is usable.
    """
    if not isinstance(method, Reconstructs):
        name = method.config.name
        raise ConfigError(f"{name} cannot draw absent leads: give weights of a method that can, such as ls_emvae")
    spec = method.config.input
    if spec.scale == "amplitude_unknown":
        raise ConfigError(
            "these weights divide a record by the spread of all leads, hidden ones too, so what they draw cannot lie "
            "over the truth: use weights of input.scale mv or lead_unknown"
        )
    # Which leads are shown.
    recorded = tuple(name for name in recording.leads if name in spec.leads)
    keep = recorded if keep is None else tuple(dict.fromkeys(canonical(name) for name in keep))
    missing = [name for name in keep if name not in recorded]
    if missing:
        raise DataError(
            f"{recording.record_id}: lead {', '.join(missing)} is not there to be kept, only {', '.join(recorded)}"
        )
    # The windows as they were recorded, and as the method draws them from the shown leads.
    batch = windows_of(recording, spec, method.config.labs)
    whole = method.eval().preprocess(batch)
    shown = torch.tensor([name in keep for name in spec.leads])
    if not bool((whole.lead_mask & shown).any()):
        raise DataError(f"{recording.record_id}: none of the leads to keep has a usable sample")
    drawn = method.reconstruct(replace(batch, lead_mask=batch.lead_mask & shown))
    usable = whole.lead_mask.any(0).tolist()
    unit, size = ("mV", 1.0) if spec.scale == "mv" else ("sd", TYPICAL_MV)

    def side_by_side(values: torch.Tensor) -> NDArray[np.float32]:
        """(window, lead, t) -> (lead, t), without padding; samples in two windows are kept twice."""
        parts = [row[:, inside] / size for row, inside in zip(values, whole.time_mask, strict=True)]
        return torch.cat(parts, 1).numpy()

    return DrawnLeads(
        leads=spec.leads,
        kept=tuple(name for name in spec.leads if name in keep),
        recorded=tuple(name for name, is_usable in zip(spec.leads, usable, strict=True) if is_usable),
        rate_hz=spec.rate_hz,
        unit=unit,
        truth=side_by_side(whole.signal.masked_fill(~recorded_samples(batch, spec), torch.nan)),
        mean=side_by_side(drawn.mean),
        std=side_by_side(drawn.std),
    )


def reconstruction_figure(drawn: DrawnLeads, *, title: str = "Absent leads, drawn from the others") -> Figure:
    """Every lead in a panel: the true trace in grey, what was drawn of a hidden one in colour with its band.

    Args:
        drawn: as from `drawn_leads`; its first seconds are shown.
        title: headline.
    """
    n_rows = -(-len(drawn.leads) // 2)
    figure = blank_figure(_WIDTH_INCHES, _ROW_INCHES * n_rows + 1.1)
    parts = figure.add_gridspec(n_rows, 2, hspace=0.02, wspace=0.04)
    n = min(drawn.truth.shape[1], round(_SHOWN_SECONDS * drawn.rate_hz))
    errors, half = {error.lead: error for error in drawn.errors()}, _half_height(drawn, n)
    for number, name in enumerate(drawn.leads):
        axes = figure.add_subplot(parts[number % n_rows, number // n_rows])
        _panel(axes, drawn, name, n, half, errors.get(name))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    _key(figure, drawn, n / drawn.rate_hz)
    return figure


def _half_height(drawn: DrawnLeads, n: int) -> float:
    """Half the height of every panel: one scale for all leads, so that their sizes can be compared."""
    hidden = np.array([name not in drawn.kept for name in drawn.leads])
    values = [drawn.truth[:, :n], (np.abs(drawn.mean) + BAND_SD * drawn.std)[hidden, :n]]
    return max(_LEAST_HALF, 1.05 * max(float(np.nanmax(np.abs(part), initial=0.0)) for part in values))


def _panel(axes: Axes, drawn: DrawnLeads, name: str, n: int, half: float, error: LeadError | None) -> None:
    row, time = drawn.leads.index(name), np.arange(n) / drawn.rate_hz
    truth, mean, std = (part[row, :n] for part in (drawn.truth, drawn.mean, drawn.std))
    seconds = n / drawn.rate_hz
    axes.vlines(np.arange(0, seconds + 1e-9, 0.2), -half, half, color=_PAPER, lw=0.6, zorder=0)
    axes.hlines(np.arange(-np.floor(2 * half), np.floor(2 * half) + 1) / 2, 0, seconds, color=_PAPER, lw=0.6, zorder=0)
    if name not in drawn.kept:
        band = BAND_SD * std
        axes.fill_between(time, mean - band, mean + band, color=_DRAWN, alpha=0.18, lw=0, zorder=1)
        axes.plot(time, mean, color=_DRAWN, lw=1.3, zorder=3)
    if name in drawn.recorded:
        axes.plot(time, truth, color=INK if name in drawn.kept else _TRUTH, lw=1.1, zorder=2)
    axes.set(xlim=(0, seconds), ylim=(-half, half), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    corner: dict[str, Any] = {
        "transform": axes.transAxes,
        "va": "top",
        "bbox": {"facecolor": "white", "lw": 0, "alpha": 0.8, "pad": 1},
    }
    axes.text(0.005, 0.97, name, fontsize=10, fontweight="bold", color=INK, **corner)
    if error is not None:
        numbers = f"r {error.correlation:.2f}   RMSE {error.rmse:.2f} {drawn.unit}"
        axes.text(0.995, 0.97, numbers, ha="right", fontsize=TEXT_PT, color=_DRAWN, **corner)


def _key(figure: Figure, drawn: DrawnLeads, seconds: float) -> None:
    entries = (
        (f"read: {', '.join(drawn.kept)}", INK),
        ("recorded, and hidden from the model", _TRUTH),
        (f"drawn, with a band of {BAND_SD:g} standard deviations", _DRAWN),
        (f"{seconds:g} s, lines every 0.2 s and 0.5 {drawn.unit}. {RESEARCH_USE}", MUTED),
    )
    for number, (text, colour) in enumerate(entries):
        place: dict[str, Any] = {"x": 0.01 if number % 2 == 0 else 0.99, "ha": "left" if number % 2 == 0 else "right"}
        figure.text(y=-0.005 - 0.022 * (number // 2), s=text, fontsize=TEXT_PT, color=colour, va="top", **place)
