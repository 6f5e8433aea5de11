"""The page: self-contained, escaped, honest about what it is; and every figure draws from plain arrays."""

import base64
import io
import re
import threading
from datetime import UTC, datetime

import matplotlib as mpl
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from auricle.age import DAYS_PER_YEAR
from auricle.errors import DataError
from auricle.explain import figures
from auricle.pages import style
from auricle.pages.page import Banner, Page, Section
from outline import Outline

AGES = np.expm1(np.linspace(0, np.log1p(18 * DAYS_PER_YEAR), 30))
HOSTILE = "<script>alert('x')</script> & \"quoted\" $title ${style}"


@pytest.fixture(autouse=True)
def one_thread():
    """t-SNE meets at thousands of barriers: on a busy machine two threads wait for each other longer than one works."""
    with threadpool_limits(1):
        yield


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


def drawn(figure):
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    return content.getvalue()


def gates(groups=4):
    gamma = np.ones((30, 3, groups)) + np.linspace(0.5, 0, 30)[:, None, None]
    gamma[:, 1] = np.nan  # a point without groups
    return gamma, np.full((30, groups), 1 / groups)


def every_figure():
    random = np.random.default_rng(0)
    truth = (random.random((200, 2)) < 0.4).astype(float)
    truth[:20, 0] = np.nan
    gamma, share = gates()
    curve = (np.r_[np.nan, np.full(29, 0.8)],) * 3
    return {
        "age_effect": figures.age_effect(AGES, random.random((30, 2)), ["a", "b"], 3.0),
        "age_effect unknown": figures.age_effect(AGES, random.random((30, 2)), ["a", "b"]),
        "contributions": figures.group_contributions(["lateral", "septal"], [0.7, 0.3]),
        "gates": figures.gates_over_age(AGES, gamma, share, ["l", "i", "s", "a"]),
        "tsne labels": figures.tsne(random.normal(size=(40, 5)), np.arange(40) % 12 == 1, "t"),
        "tsne many": figures.tsne(random.normal(size=(40, 5)), [f"c{n % 12}" for n in range(40)], "t"),
        "tsne age": figures.tsne(random.normal(size=(40, 5)), np.r_[np.nan, AGES, AGES[:9]], "t", is_age=True),
        "reliability": figures.reliability(truth, random.random((200, 2)), ["a", "b"]),
        "training": figures.training_curve([0, 1], [2, 1], validation_steps=[1], validation=[0.6]),
        "metric over age": figures.metric_over_age(AGES, {"gate": curve, "none": curve}),
    }


def test_every_figure_can_be_drawn_and_leaves_matplotlib_alone():
    before = dict(mpl.rcParams)
    for name, figure in every_figure().items():
        assert drawn(figure).startswith(b"<?xml"), name
    assert dict(mpl.rcParams) == before


def test_figures_can_be_drawn_in_threads():
    expected, got = len(drawn(figures.group_contributions(["a"], [1.0]))), []
    threads = [
        threading.Thread(target=lambda: got.append(len(drawn(figures.group_contributions(["a"], [1.0])))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert all(abs(size - expected) < 200 for size in got)  # ids and their lengths differ, the drawing does not


def test_the_age_axis_reads_from_birth_on_and_marks_the_patient():
    axes = figures.age_effect(AGES, np.tile([[0.2, 0.6]], (30, 1)), ["a", "b"], 7.0).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["birth", "1 wk", "1 mo", "1 yr", "5 yr", "18 yr"]
    assert np.allclose(np.expm1(axes.get_xticks()), [day for day, _ in figures.AGE_TICKS[:6]])
    marks = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert np.expm1(marks[0].get_xdata()[0]) == pytest.approx(7)
    assert axes.lines[0].get_ydata()[0] == 0.2


def test_gates_show_the_mean_and_the_range_over_points():
    gamma, share = gates(2)
    gamma[:, 0] += 0.2
    left, right = figures.gates_over_age(AGES, gamma, share, ["limb", "chest"]).axes
    assert left.lines[0].get_ydata()[0] == pytest.approx(1.6)  # of 1.7 and 1.5; the point without groups is left out
    assert right.lines[0].get_ydata()[0] == pytest.approx(0.5)
    with pytest.raises(DataError, match="3 groups"):
        figures.gates_over_age(AGES, gamma, share, ["one", "two", "three"])


def test_tsne_is_the_same_every_time_and_bounded():
    features = np.random.default_rng(0).normal(size=(60, 4))
    once, again = (figures.tsne(features, ["a"] * 60, "t", n_points=30).axes[0].collections for _ in range(2))
    np.testing.assert_array_equal(once[0].get_offsets(), again[0].get_offsets())
    assert len(once[0].get_offsets()) == 30
    with pytest.raises(DataError, match="give more"):
        figures.tsne(features[:2], ["a", "b"], "t")


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
