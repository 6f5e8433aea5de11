"""One value per record from a method that reads windows: the mean over all windows of the record."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.data.loader import View, windows
from auricle.progress import OnProgress
from auricle.signal.preprocess import InputSpec, leads_left

# So little that it changes no float beside 1.
_EMPTY = 1e-12


@torch.no_grad()
def over_records(
    function: Callable[[ECGBatch], Tensor],
    view: View,
    *,
    change: Callable[[ECGBatch], ECGBatch] | None = None,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """`function` on every record of a view, windows of a long record pooled by the mean of those that can be read.

    Args:
        function: from a batch to (b, d); for example `method.embed` or `method.logits`.
        view: the records.
        change: what is done to a batch before it is read; a window that has nothing to read after it has no say.
        batch_size: windows at a time.
        device: where the function computes.
        on_progress: called with (records done, records in all).

    Returns:
        (n, d) in the order of `view.rows`.
    """
    total: Tensor | None = None
    count = torch.zeros(len(view.rows))
    for positions, batch in windows(view, batch_size):
        batch = batch if change is None else change(batch)
        values = function(batch.to(device)).float().cpu()
        if total is None:
            total = torch.zeros(len(view.rows), values.shape[1])
        index = torch.from_numpy(positions)
        weight = _weight(batch, view.spec)
        total.index_add_(0, index, values * weight[:, None])
        count.index_add_(0, index, weight)
        if on_progress:
            on_progress(int(positions[-1]) + 1, len(view.rows))
    assert total is not None, "a view without records"
    return (total / count[:, None]).numpy()


def _weight(batch: ECGBatch, spec: InputSpec) -> Tensor:
    """(b,) 1 for windows with a lead to read; next to nothing for others, which count only among themselves.

    So those of a record are left out that `auricle.data.collate.windows_of` leaves out, and a picture alone is read.
    """
    return torch.where(leads_left(batch, spec).any(1).cpu(), 1.0, _EMPTY)
