"""The detector of heart beats of `sleepecg`, without the rest of that package.

`import sleepecg` also brings its sleep stages, their downloads and their settings (requests, yaml, tqdm), which take a
third of a second that measuring one file would otherwise not need.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Detect = Callable[..., NDArray[np.int64]]

_PACKAGE: Final = "sleepecg"
_MODULE: Final = "sleepecg.heartbeats"


@cache
def detector() -> Detect:
    """`sleepecg.detect_heartbeats`: (time,) trace, its rate and a backend (`c`, `python`) to (beat,) sample numbers."""
    if _PACKAGE in sys.modules:
        return _of(import_module(_MODULE))
    spec = find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    # The package as a place where its modules are found, whose own code is not run.
    sys.modules[_PACKAGE] = module_from_spec(spec)
    try:
        found = import_module(_MODULE)
    finally:
        # Whoever imports the package later gets all of it.
        for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]:
            del sys.modules[name]
    return _of(found)


def _of(module: Any) -> Detect:
    found: Detect = module.detect_heartbeats
    return found
