"""The model card in the documents is what its program makes of the card that lies with the weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_made_from_the_card() -> None:
    made = subprocess.run(  # in a process of its own: benchmarks import each other by their folder
        [sys.executable, "benchmarks/weights_card.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "weights.md").read_text(encoding="utf-8") == made.stdout
