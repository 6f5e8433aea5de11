"""What every answer for a program says of where it comes from: which program, which version, which schema."""

from __future__ import annotations

from typing import Final

from auricle import __version__

# Of the JSON: raised when a key changes its meaning or goes.
SCHEMA_VERSION: Final = 1


def origin() -> dict[str, str | int]:
    """`program`, `version` and `schema`, as `auricle measure --schema` describes them."""
    return {"program": "auricle", "version": __version__, "schema": SCHEMA_VERSION}
