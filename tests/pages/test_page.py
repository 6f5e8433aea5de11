"""The page: self-contained, escaped, honest about what it is."""

import base64
import io
import re
from datetime import UTC, datetime

import pytest

from auricle.errors import DataError
from auricle.explain import figures
from auricle.pages import style
from auricle.pages.page import Banner, Page, Section
from outline import Outline

HOSTILE = "<script>alert('x')</script> & \"quoted\" $title ${style}"


def full_page():
    table = [[HOSTILE, "n"], [f"*{HOSTILE}*", "1"]]
    section = Section(HOSTILE, HOSTILE, table, figures.training_curve([0, 1], [2, 1]), HOSTILE, HOSTILE)
    return Page(HOSTILE, HOSTILE, command=HOSTILE).add(section).add(section).add(section)


def test_every_text_is_escaped():
    outline = Outline(full_page().to_html())
    assert "script" not in outline.tags
    text = " ".join("".join(outline.text).split())
    # Title twice, lead, command, and of each section heading, contents, prose, two cells, caption and note.
    assert text.count(HOSTILE) == 4 + 3 * 7


def test_the_page_asks_the_network_for_nothing():
    html = full_page().to_html()
    outline = Outline(html)
    assert not {"script", "link", "iframe", "object", "embed"} & set(outline.tags)
    addresses = [value for name, value in outline.attributes if name in {"src", "href", "srcset", "data"}]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_the_page_says_what_it_is_and_where_it_is_from():
    page = Page("A title", "A lead.", command="auricle predict x", date=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
    text = " ".join(" ".join(Outline(page.to_html()).text).split())
    assert "Research use." in text
    assert "not a diagnosis" in text
    assert "2026-03-04 05:06+00:00" in text
    assert re.search(r"auricle \d+\.\d+", text)
    assert "auricle predict x" in text


def test_write_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "page.html"
    page = Page("One", "First.")
    page.write(path)
    assert path.read_text(encoding="utf-8") == page.to_html()

    def broken(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        Page("Two", "Second.").write(path)
    assert path.read_text(encoding="utf-8") == page.to_html()
    assert list(path.parent.iterdir()) == [path]


def test_markdown_tables_become_tables():
    markdown = "A caption.\n\n| method | 1 % | seen |\n| --- | ---: | --- |\n| a\\|b | 63.4 ± 1.0 [60.0, 65.0] | no |\n"
    html = Page("t", "l").add(Section("Table", table=markdown + "| c | not run | **yes** |\n\nA note.")).to_html()
    outline = Outline(html)
    assert outline.tags.count("tr") == 3
    assert "a|b" in outline.text
    assert "63.4\u00a0±\u00a01.0 [60.0,\u00a065.0]" in outline.text
    assert '<span class="absent">not run</span>' in html
    assert "<strong>yes</strong>" in html
    assert html.count('class="number"') == 3  # the header and both cells of the one numeric column


def test_wrong_tables_and_figures_are_refused():
    def html(**section):
        return Page("t", "l").add(Section("h", **section)).to_html()

    with pytest.raises(DataError, match="another number of cells"):
        html(table=[["a", "b"], ["1"]])
    with pytest.raises(DataError, match="no table"):
        html(table="no pipes here")
    with pytest.raises(DataError, match="PNG"):
        html(figure=b"GIF89a")
    with pytest.raises(DataError, match="SVG"):
        html(figure="a path, say")


def test_figures_are_embedded_as_they_are():
    png = io.BytesIO()
    figures.training_curve([0, 1], [2, 1]).savefig(png, format="png")
    for figure, kind in ((png.getvalue(), "image/png"), ("<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")):
        outline = Outline(Page("t", "l").add(Section("h", figure=figure, caption="what it shows")).to_html())
        source = next(value for name, value in outline.attributes if name == "src")
        content = figure.encode() if isinstance(figure, str) else figure
        assert source == f"data:{kind};base64,{base64.b64encode(content).decode()}"
        assert ("alt", "what it shows") in outline.attributes


def test_neighbouring_series_differ_without_colour_too():
    styles = [(style.series(n)["color"], str(style.series(n)["linestyle"])) for n in range(8)]
    assert len(set(styles)) == 8
    assert len({colour for colour, _ in styles}) == 8


def test_a_page_in_another_language_keeps_every_section_and_its_banner():
    page = Page("标题", "", language="zh", banner=Banner("仅供研究。", "不作诊断。"), style=".mm { color: red; }")
    page.add(Section("first", html='<p class="mm">made here</p>')).add(Section("second", "and a text"))
    html = page.to_html()
    assert '<html lang="zh">' in html
    assert "<strong>仅供研究。</strong> 不作诊断。" in html
    assert "Not a medical device" not in html
    assert html.index('<p class="mm">made here</p>') < html.index("<p>and a text</p>")
    assert ".mm { color: red; }" in html


def test_a_printed_page_keeps_headings_rows_and_its_foot_with_what_they_belong_to():
    html = Page("t", "l").to_html()
    printed = html[html.index("@media print") :]
    assert "size: A4" in printed
    kept_after = re.search(r"([^{}]*)\{ break-after: avoid; \}", printed)[1]
    assert {"h2", "thead"} <= set(re.findall(r"[\w]+", kept_after))
    whole = re.search(r"([^{}]*)\{ break-inside: avoid; \}", printed)[1]
    assert {"figure", "tr", "footer"} <= set(re.findall(r"[\w]+", whole))


def test_wide_tables_scroll_inside_of_the_page():
    html = Page("t", "l").add(Section("h", table=[["a"] * 40, ["1"] * 40])).to_html()
    assert '<div class="scroll"><table>' in html
    assert ".scroll { overflow-x: auto" in html


def test_dots_and_bars_differ_without_colour():
    assert len(set(style.MARKERS)) == len(style.COLOURS)
    figure = figures.robustness(
        [("clean", "clean")], {"one": {"clean": (0.8, 0.7, 0.9)}, "two": {"clean": (0.7, 0.6, 0.8)}}
    )
    drawn = [line.get_marker() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert len(drawn) == len(set(drawn)) == 2
