"""One self-contained HTML page: text, tables and figures in a file that opens anywhere and asks nothing of the network.

Figures are embedded as SVG or PNG, the style is inline, there is no script, and a content security policy says so to
the browser. Every text is escaped. The banner "research use" and the origin (date, version, command) are not optional.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from auricle.atomic import write_bytes
from auricle.errors import DataError
from auricle.paediatrics.languages import words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Sequence[object]]

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Points drawn as pixels inside an SVG (t-SNE) stay sharp on a dense screen.
_RASTER_DPI: Final = 200
_NO_BREAK: Final = "\u00a0"
_NUMBER: Final = re.compile(r"[-+−]?\d")
_ABSENT: Final = frozenset({"", "–", "-", "not run", "undefined", "not recorded", "unknown"})
_EMPHASIS: Final = re.compile(r"^(\*{1,2})(.+)\1$")
_SEPARATOR_CELL: Final = re.compile(r"^:?-+:?$")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what belongs to it, drawn in this order.

    Attributes:
        heading: plain text.
        prose: plain text; an empty line starts a new paragraph.
        table: a Markdown pipe table, or rows of which the first is the header. A cell wholly in `*asterisks*` is
            emphasised; columns of numbers are aligned right.
        figure: a matplotlib figure, PNG bytes, or an SVG document.
        caption: below the figure, and its text for those who cannot see it.
        note: a limitation or warning, set apart.
        html: markup made by a page for what none of the others can say; whoever fills it has escaped every text.
    """

    heading: str
    prose: str = ""
    table: str | Rows | None = None
    figure: Figure | bytes | str | None = None
    caption: str = ""
    note: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True)
class Banner:
    """What stands on top of every page, in its language: what it is for, and what it is not."""

    strong: str = "Research use."
    rest: str = "Not a medical device, not a diagnosis."


@dataclass(slots=True)
class Page:
    """A page under construction.

    Attributes:
        title: plain text.
        lead_paragraph: what the page says, in a few sentences.
        command: the command line that made it.
        date: when it was made.
        sections: in order.
        language: of the texts: "en", "zh" or "de".
        banner: in that language.
        style: CSS beside that of all pages.
    """

    title: str
    lead_paragraph: str
    command: str = ""
    date: datetime = field(default_factory=lambda: datetime.now().astimezone())
    sections: list[Section] = field(default_factory=list)
    language: str = "en"
    banner: Banner = Banner()
    style: str = ""

    def add(self, section: Section) -> Page:
        """Append a section; returns the page, so that calls can be chained."""
        self.sections.append(section)
        return self

    def to_html(self) -> str:
        """The whole document.

        Raises:
            UnknownNameError: a language without words.
            DataError: a table whose rows differ in length, or a figure that is none.
        """
        said = words(self.language)["page"]
        origin = {
            said["date"]: escape(self.date.isoformat(sep=" ", timespec="minutes")),
            said["version"]: f"auricle {escape(version('auricle'))}",
        }
        if self.command:
            origin[said["command"]] = f"<code>{escape(self.command)}</code>"
        return Template(_resource("page.html")).substitute(
            title=escape(self.title),
            language=escape(self.language, quote=True),
            banner_strong=escape(self.banner.strong),
            banner=escape(self.banner.rest),
            style=_resource("page.css") + self.style,
            lead=_paragraphs(self.lead_paragraph),
            contents=_contents(self.sections, said["contents"]),
            sections="\n".join(_section(number, section) for number, section in enumerate(self.sections, start=1)),
            origin="\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in origin.items()),
        )

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all."""
        write_bytes(path, self.to_html().encode("utf-8"))


def _resource(name: str) -> str:
    """The text of a file beside this one."""
    return files("auricle.pages").joinpath(name).read_text(encoding="utf-8")


def _paragraphs(text: str) -> str:
    """Plain text as escaped HTML paragraphs."""
    return "\n".join(f"<p>{escape(part.strip())}</p>" for part in re.split(r"\n\s*\n", text) if part.strip())


def _contents(sections: Sequence[Section], title: str) -> str:
    if len(sections) < 3:  # shorter pages are seen at a glance
        return ""
    links = (f'<a href="#s{number}">{escape(section.heading)}</a>' for number, section in enumerate(sections, start=1))
    return f'<nav aria-label="{title}">{" ".join(links)}</nav>'


def _section(number: int, section: Section) -> str:
    parts = [
        f'<section id="s{number}">',
        f"<h2>{escape(section.heading)}</h2>",
        _paragraphs(section.prose),
        section.html,
    ]
    if section.table is not None:
        parts.append(_table(section.table))
    if section.figure is not None:
        parts.append(_figure(section.figure, section.caption, section.heading))
    if section.note:
        parts.append(f'<p class="note">{escape(section.note)}</p>')
    return "\n".join([part for part in parts if part] + ["</section>"])


def _table(table: str | Rows) -> str:
    header, *rows = _parsed(table) if isinstance(table, str) else [[str(cell) for cell in row] for row in table]
    if any(len(row) != len(header) for row in rows):
        raise DataError(f"a table headed {', '.join(header)} has a row with another number of cells")
    numeric = [_is_numeric([row[column] for row in rows]) for column in range(len(header))]
    head = "".join(
        f'<th scope="col"{_number_class(right)}>{_cell(cell)}</th>' for cell, right in zip(header, numeric, strict=True)
    )
    body = "\n".join(_row(row, numeric) for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _parsed(markdown: str) -> list[list[str]]:
    """Cells of the pipe table in a piece of Markdown; other lines and the separator below the header are left out."""
    lines = [line.strip() for line in markdown.splitlines() if line.strip().startswith("|")]
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rows = [row for row in rows if not all(_SEPARATOR_CELL.match(cell) for cell in row)]
    if not rows:
        raise DataError("no table in this Markdown: its lines must start with |")
    return rows


def _row(row: Sequence[str], numeric: Sequence[bool]) -> str:
    first = f'<th scope="row">{_cell(row[0])}</th>' if row else ""
    rest = "".join(
        f"<td{_number_class(right)}>{_cell(cell)}</td>" for cell, right in zip(row[1:], numeric[1:], strict=True)
    )
    return f"<tr>{first}{rest}</tr>"


def _cell(cell: str) -> str:
    # A value with its deviation and interval may break before the interval and nowhere else.
    if _NUMBER.match(cell):
        cell = cell.replace(" ", _NO_BREAK).replace(f"{_NO_BREAK}[", " [")
    match = _EMPHASIS.match(cell)
    if match:
        tag = "em" if len(match.group(1)) == 1 else "strong"
        return f"<{tag}>{escape(match.group(2))}</{tag}>"
    return f'<span class="absent">{escape(cell)}</span>' if cell in _ABSENT else escape(cell)


def _is_numeric(cells: Sequence[str]) -> bool:
    present = [cell.strip("*") for cell in cells if cell not in _ABSENT]
    return bool(present) and all(_NUMBER.match(cell) for cell in present)


def _number_class(right: bool) -> str:
    return ' class="number"' if right else ""


def _figure(figure: Figure | bytes | str, caption: str, heading: str) -> str:
    content, kind = _image(figure)
    source = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{source}" alt="{escape(caption or heading)}">{below}</figure>'


def _image(figure: Figure | bytes | str) -> tuple[bytes, str]:
    """The bytes and media type of a figure; an image element isolates an SVG's ids and runs nothing inside it."""
    if isinstance(figure, str):
        if "<svg" not in figure:
            raise DataError("a figure given as text must be an SVG document")
        return figure.encode("utf-8"), "image/svg+xml"
    if isinstance(figure, bytes):
        if not figure.startswith(_PNG_SIGNATURE):
            raise DataError("a figure given as bytes must be a PNG")
        return figure, "image/png"
    content = io.BytesIO()
    figure.savefig(content, format="svg", dpi=_RASTER_DPI, metadata={"Date": None})
    return content.getvalue(), "image/svg+xml"
