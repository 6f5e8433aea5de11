"""The sentence beside everything that looks like a diagnosis; other languages have it in `paediatrics/wording.toml`."""

from __future__ import annotations

from typing import Final

RESEARCH_USE: Final = "Research use, not a diagnosis."
