"""A recording on paper in true millimetres, as markup for a page about one recording."""

from __future__ import annotations

import base64
import math
import re
from html import escape
from typing import Final

from auricle.paediatrics import wording
from auricle.pages.paper import svg_paper
from auricle.recording import Recording

# With margins and pulse 250 mm of trace are 282 mm of sheet: what an A4 page across holds.
_TRACE_MM: Final = 250.0
_MOST_SHEETS: Final = 2
# What an A4 page across holds beside a heading and a caption; a higher drawing is shrunk in print, and says so.
_TALLEST_MM: Final = 165.0
_HEIGHT: Final = re.compile(r'<svg[^>]* height="([0-9.]+)mm"')
# Of every page with such sheets: figures keep their millimetres, on the screen and printed on A4 landscape.
SHEET_STYLE: Final = """
main, footer { max-width: 74rem; }
.mm { overflow-x: auto; }
.mm img { max-width: none; }
.remark { border-left-color: #c4302b; }
.print { display: none; }
@media print {
  @page { size: A4 landscape; margin: 7mm; }
  .mm { overflow: visible; }
  .mm img { max-height: none; }
  .tall img { height: 165mm; width: auto; }
  .print { display: inline; }
}
"""


def sheets(recording: Recording, language: str, speed: float, gain: float, name: str) -> str:
    """As many sheets of 250 mm as the recording needs, two at most, as HTML.

    Args:
        recording: what is drawn.
        language: of the captions.
        speed: of the paper, in mm/s.
        gain: of the paper, in mm/mV.
        name: what the recording is called on the sheet.
    """
    heads = wording.words(language)["table"]
    seconds = _TRACE_MM / speed
    n_sheets = min(_MOST_SHEETS, max(1, math.ceil(recording.seconds / seconds - 1e-6)))
    caption = heads["paper_caption"].format(speed=f"{speed:g}", gain=f"{gain:g}")
    drawn = []
    for number in range(n_sheets):
        start = number * seconds
        svg = svg_paper(
            recording, speed_mm_s=speed, gain_mm_mv=gain, start_s=start, seconds=seconds, title=name, language=language
        )
        last = min(start + seconds, recording.seconds)
        part = heads["paper_more"].format(first=f"{start:.4g}", last=f"{last:.4g}", all=f"{recording.seconds:.4g}")
        drawn.append(image(svg, f"{caption} {part}", heads["shrunk"]))
    return "\n".join(drawn)


def image(svg: str, caption: str, shrunk: str) -> str:
    """An image element isolates an SVG's ids and runs nothing inside it; its width and height stay millimetres.

    Args:
        svg: a drawing in millimetres.
        caption: below it.
        shrunk: what is said in print below a drawing that is higher than a page.
    """
    height = _HEIGHT.search(svg)
    tall = height is not None and float(height[1]) > _TALLEST_MM
    said = f' <strong class="print">{escape(shrunk)}</strong>' if tall else ""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}"
    alt = escape(caption, quote=True)
    below = f"<figcaption>{escape(caption)}{said}</figcaption>"
    return f'<figure class="mm{" tall" if tall else ""}"><img src="{source}" alt="{alt}">{below}</figure>'
