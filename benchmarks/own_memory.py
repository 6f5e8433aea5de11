"""What a process pays to have a store's metadata: a part of `speed.py memory`, in a process of its own."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def own_mib() -> float:
    """Memory that belongs to this process alone: mapped pages are everybody's."""
    resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    return (resident - shared) * resource.getpagesize() / 2**20


def main(what: str, path: Path) -> None:
    import pandas  # both ways import both libraries, so that neither pays for them
    import pyarrow.feather
    import pyarrow.ipc  # noqa: F401

    from auricle.data.store import Store

    held = own_mib()
    if what == "store":
        store = Store(path)
        kept = [store.record(row) for row in range(0, len(store), max(1, len(store) // 200))]
    else:
        frame = pandas.read_feather(path / "records.arrow")
        kept = [frame.iloc[row] for row in range(0, len(frame), max(1, len(frame) // 200))]
    assert kept
    print(max(own_mib() - held, 0.1))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
