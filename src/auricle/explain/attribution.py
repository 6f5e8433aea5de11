"""Where on the trace an answer comes from: what it loses when a stretch of one lead is drawn as a straight line.

Source: occlusion of Zeiler and Fergus 2014, in time and lead. It asks the method and not its gradients, so it holds for
every encoder, also for those that divide a lead by its spread or read a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch
from auricle.errors import DataError
from auricle.methods import Classifies, Method
from auricle.pages.style import INK, MUTED, TEXT_PT, TITLE_PT, WIDTH, blank_figure, plotting
from auricle.progress import OnProgress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW_MS: Final = 200.0
_AT_ONCE: Final = 64
_LEAD_HEIGHT: Final = 0.52
# Violet against orange, white in the middle: told apart by any colour vision.
_COLOURS: Final = "PuOr_r"


@dataclass(frozen=True, slots=True)
class Attribution:
    """What an answer owes to each stretch of each lead.

    Attributes:
        record_id: of the recording.
        name: of the class.
        answer: its logit on the whole trace.
        leads: the leads that were recorded.
        signal: (l, t) as the model reads it.
        rate_hz: samples per second of it.
        unit: of it: "mV", or "" where the model knows no amplitudes.
        loss: (l, t) by how much the logit falls without the stretch around each sample; negative where it rises.
    """

    record_id: str
    name: str
    answer: float
    leads: tuple[str, ...]
    signal: NDArray[np.float32]
    rate_hz: float
    unit: str
    loss: NDArray[np.float32]


@torch.no_grad()
def occlusion(
    method: Method,
    batch: ECGBatch,
    class_name: str,
    *,
    window_ms: float = WINDOW_MS,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """What one class of one window of a recording owes to each stretch of each lead.

    Stretches overlap by half, and a sample has the mean of those that hold it.

    Args:
        method: a method with classes; set to evaluation mode.
        batch: one record, as it comes from the loader.
        class_name: the class.
        window_ms: length of a stretch.
        on_progress: called with (stretches asked, stretches in all).

    Raises:
        DataError: the method has no such class, or the record no lead.
    """
    if not isinstance(method, Classifies) or class_name not in method.class_names:
        raise DataError(f"attribution asks a class of the method, and {class_name} is none")
    method.eval()
    ready, column = method.preprocess(batch), method.class_names.index(class_name)
    if len(ready) != 1 or not ready.lead_mask.any():
        raise DataError("attribution looks at one record with a lead at a time")
    rows = ready.lead_mask[0].nonzero()[:, 0].tolist()
    n = int(ready.time_mask[0].sum())
    width = max(2, min(n, round(window_ms * ready.rate_hz / 1000)))
    starts = sorted({*range(0, n - width + 1, max(1, width // 2)), n - width})
    asked = [(row, start) for row in rows for start in starts]
    answer = float(method.classify(method.encoder.read(ready))[0, column])
    total, often = np.zeros((2, ready.signal.shape[1], n), dtype=np.float32)
    for first in range(0, len(asked), _AT_ONCE):
        part = asked[first : first + _AT_ONCE]
        many = ready.select(torch.zeros(len(part), dtype=torch.long))
        hidden = many.signal.clone()
        for place, (row, start) in enumerate(part):
            edge = hidden[place, row, start], hidden[place, row, start + width - 1]
            hidden[place, row, start : start + width] = torch.linspace(0, 1, width) * (edge[1] - edge[0]) + edge[0]
        logits = method.classify(method.encoder.read(replace(many, signal=hidden)))[:, column]
        for (row, start), logit in zip(part, logits.tolist(), strict=True):
            total[row, start : start + width] += answer - logit
            often[row, start : start + width] += 1
        if on_progress:
            on_progress(first + len(part), len(asked))
    spec = method.config.input
    return Attribution(
        batch.record_id[0], class_name, answer, tuple(spec.leads[row] for row in rows),
        ready.signal[0, rows, :n].numpy(), ready.rate_hz, "mV" if spec.scale == "mv" else "",
        (total / often.clip(min=1))[rows],
    )  # fmt: skip


def attribution_figure(found: Attribution, title: str = "") -> Figure:
    """Every lead as the model reads it, coloured by what the answer owes to it."""
    n_leads, n = found.signal.shape
    figure = blank_figure(WIDTH, _LEAD_HEIGHT * n_leads + 1.3)
    axes = figure.add_subplot()
    reach = max(float(np.abs(found.loss).max()), 1e-6)
    room = max(float(np.quantile(np.ptp(found.signal, axis=1), 0.75)), 1e-3)
    seconds = np.arange(n) / found.rate_hz
    collection = plotting("matplotlib.collections").LineCollection
    drawn = None
    for row, (lead, signal) in enumerate(zip(found.leads, found.signal, strict=True)):
        height = -row * room
        points = np.stack([seconds, signal + height], axis=1)
        lines = collection(np.stack([points[:-1], points[1:]], axis=1), cmap=_COLOURS, linewidths=2.6, alpha=0.9)
        lines.set_array(found.loss[row, :-1])
        lines.set_clim(-reach, reach)
        drawn = axes.add_collection(lines)
        axes.plot(seconds, signal + height, color=INK, linewidth=0.5)
        axes.annotate(lead, (0, height), (-6, 0), textcoords="offset points", ha="right", va="center", fontsize=TEXT_PT)
    axes.set_title(
        title or f"{found.name} of {found.record_id}", loc="left", fontsize=TITLE_PT, color=INK, fontweight="bold"
    )
    axes.set(xlim=(0, n / found.rate_hz), ylim=(-(n_leads - 0.3) * room, room), yticks=[], xlabel="s")
    axes.tick_params(labelsize=TEXT_PT, colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=axes, shrink=0.5)
        bar.set_label("the logit falls without it", size=TEXT_PT, color=MUTED)
        bar.ax.tick_params(labelsize=TEXT_PT, colors=INK, length=0)
        bar.outline.set_visible(False)
    return figure
