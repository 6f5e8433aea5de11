"""A Dask cluster of two workers on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def dask_cluster() -> Iterator[Any]:
    """The cluster, gone behind the block; its warnings are not ours. Skips where the extra is not installed."""
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, worker_dashboard_address=None
        ) as cluster,
    ):
        warnings.simplefilter("ignore")
        yield cluster
