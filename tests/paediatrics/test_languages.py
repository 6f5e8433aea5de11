"""Chinese and German are whole: what readers, measurements and limits say in English is translated, nothing is cut."""

from __future__ import annotations

import ast
import base64
import html
import io
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from auricle.age import Age, parse
from auricle.cli.measure import show
from auricle.leads import CANONICAL, STANDARD
from auricle.measure.measurements import Measured, Remark
from auricle.paediatrics import wording
from auricle.paediatrics.findings import assess
from auricle.paediatrics.languages import translated
from auricle.pages import style
from auricle.pages.ages import ages_figure
from auricle.pages.measure import measure_page
from auricle.pages.paper import draw_paper, svg_paper
from auricle.recording import make_recording
from auricle.signal.acceptance import _SENTENCES, Acceptance, Reason
from auricle.simulate.newborn import newborn
from measurements import NEWBORN, measured

# What stays in Latin letters: leads, waves, units, names of formulas and of authors, options, centiles, sizes of paper.
LATIN = {
    *(name.casefold() for name in CANONICAL), "p", "q", "r", "s", "t", "st", "pr", "rr", "qrs", "qt", "qtc", "bazett",
    "fridericia", "rijnbeek", "davignon", "einthoven", "goldberger", "cole", "green", "koenker", "ng", "portnoy", "lms",
    "mv", "uv", "v", "ms", "mm", "hz", "p2", "p50", "p98", "a4", "json", "page", "auricle", "av", "python", "f", "m",
    "0d", "5mo", "d",
}  # fmt: skip
WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
# The rooms whose sentences a Chinese reader sees.
SPEAKING = (
    "recording.py", "gaps.py", "einthoven.py", "amplitude.py", "io/wfdb.py", "io/wfdb_samples.py", "io/arrays.py",
    "io/keys.py", "io/picture.py", "io/header_comments.py", "io/carts.py", "io/ishne.py",
    "measure/recording.py", "measure/delineate.py",
    "measure/amplitudes.py", "measure/rhythm.py", "paediatrics/limits.py", "caveats.py",
)  # fmt: skip


def english_in(text):
    """Words in Latin letters that are not allowed."""
    # A single letter is a lead's wave or the mark of a note.
    return sorted({word for word in WORD.findall(text) if len(word) > 1 and word.casefold() not in LATIN})


def chunks_said(module):
    """Pieces of three words and more in what a module says, but for what it raises and documents."""
    tree = ast.parse((files("auricle") / module).read_text(encoding="utf-8"))
    silent = set()
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        if documented:
            silent |= set(map(id, ast.walk(node.body[0])))
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"DataError", "compile"}
        ):
            silent |= set(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            for part in re.split(r"[;:] ", node.value):
                if len(WORD.findall(part)) >= 3 and " " in part.strip():
                    yield part.strip(" :;(,")


# Pieces of errors that are put together before they are raised, kinds of files, and patterns.
NOT_SAID = (
    "it looks transposed", "time runs along", "pixels show no ECG", "which is not read", "sex must be",
    "no picture that auricle reads", "neither rate nor leads", "name every row", "a PDF", "a WebP", "a JPEG", "a HEIC",
    "an AVIF", "an SVG", "a Photoshop", "a BigTIFF", "Truncated File Read", "a beat without",
    "\\s<",
)  # fmt: skip


@pytest.mark.parametrize("module", SPEAKING)
def test_every_sentence_of_readers_and_measurements_is_in_the_table(module):
    table = (files("auricle.paediatrics") / "translations.toml").read_text(encoding="utf-8")
    missing = [
        part
        for part in chunks_said(module)
        if part not in table and translated(part, "zh") is None and not part.startswith(NOT_SAID)
    ]
    assert not missing


def test_the_sentences_of_quality_are_the_ones_of_the_table():
    assert {code: text for code, text in wording.words("en")["quality"].items() if code != "title"} == _SENTENCES
    for language, leads in (("zh", "V1, V2："), ("de", "V1, V2: ")):
        said = wording.note_text(str(Reason("noisy", ("V1", "V2"))), language)
        assert said == leads + wording.words(language)["quality"]["noisy"]


@pytest.mark.parametrize(
    ("note", "chinese"),
    [
        ("a: b.hea: the age given (5.33 yr) is used; the file says 16 mo", None),
        (
            "b.hea: the age given (5.33 yr) is used; the file says 16 mo",
            "b.hea：采用给定的年龄（5.33 岁）；文件中为 16 个月",
        ),
        (
            "constant or at the limit of the amplifier, and treated as missing: V1 throughout; I for 9% of the time",
            "恒定不变或达到放大器极限，按缺失处理：V1 全程；I 占时间的 9%",
        ),
        ("something new was found", "（英文原文）something new was found"),
    ],
)
def test_a_note_keeps_its_names_and_numbers(note, chinese):
    said = wording.note_text(note, "zh")
    assert said == chinese if chinese else said.startswith("（英文原文）")
    assert wording.note_text(note, "en") == note


def test_own_curves_keep_the_name_they_were_given():
    assert wording.origin_text("Ward 3 d, Zürich", "zh") == "Ward 3 d, Zürich"
    assert wording.origin_text("Davignon 1979 (unverified), Rijnbeek 2001", "zh") == (
        "Davignon 1979（未经核实）、Rijnbeek 2001"
    )
    assert wording.origin_text("12 patients, both sexes", "zh") == "12 名患者，男女合计"


def everything_at_once():
    """Measurements with every remark, several reasons, notes of a reader and a trace that is not acceptable."""
    remarks = [
        Remark(code, ("V1", "V6"), dict.fromkeys(wording.words("en")["details"], 0.3))
        for code in wording.words("en")["remarks"]
    ]
    values = {**NEWBORN, "qrs_axis": (250.0, 2.0), "s_v1": (2.5, 0.3), "qtc_bazett": (520.0, 5.0)}
    given = measured(values, remarks=remarks, leads=STANDARD)
    reasons = tuple(Reason(code, ("V1",)) for code in _SENTENCES)
    return replace(
        given,
        values={**given.values, "p_axis": Measured(np.nan, np.nan, "deg", "the wave has no net direction")},
        quality=Acceptance(0.1, reasons),
    )


def seen(markup):
    """The text of a page, and what is read of its pictures: titles, labels and the texts of SVG."""
    pictures = [base64.b64decode(one).decode() for one in re.findall(r'base64,([^"]+)"', markup)]
    body = re.sub(r"<style>.*?</style>", "", markup, flags=re.S)
    labels = " ".join(re.findall(r'(?:aria-label|alt)="([^"]*)"', body))
    texts = [re.sub(r"<[^>]+>", " ", part) for part in (body, *pictures)]
    return html.unescape(" ".join([*texts, labels]))


@pytest.mark.parametrize("age", ["3d", "5yr", "40yr", ""])
def test_no_english_word_is_left_on_a_chinese_page_or_terminal(age):
    trace = newborn()
    trace = replace(
        trace, age=parse(age) if age else None, notes=("the age given (3 d) is used; the file says 5 yr",)
    ).with_context(sex="F")
    given = everything_at_once()
    found = assess(given, trace.age, "F")
    page = measure_page(trace, given, found, "zh", title="心电图")
    assert english_in(seen(page.to_html())) == []
    console = Console(file=io.StringIO(), width=80)
    show(found, given, console, "心电图", "zh")
    assert english_in(console.file.getvalue()) == []


@pytest.mark.parametrize("language", ["zh", "de", "en"])
def test_nothing_is_cut_at_eighty_columns(language):
    given = everything_at_once()
    console = Console(file=io.StringIO(), width=80)
    show(assess(given, parse("3d"), "F"), given, console, "a-name-of-a-file-that-is-long_0001.hea", language)
    lines = console.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize("n_leads", [12, 2])
def test_paper_is_in_the_language_of_its_page(n_leads):
    signal = np.tile(np.sin(np.arange(5000) / 20).astype(np.float32) * 9, (n_leads, 1))
    names = STANDARD[:n_leads]
    recording = make_recording(signal[:, ::2], 250.0, names, "x", amplitude_known=False, age=Age(3.0))
    drawn = re.sub(r"<[^>]+>", " ", svg_paper(recording, language="zh", title="心电图"))
    assert english_in(drawn) == []
    assert "年龄 3 天" in drawn
    assert "仅供研究" in drawn


needs_font = pytest.mark.skipif(style.chinese_font() is None, reason="no Chinese font is installed")


@needs_font
def test_chinese_figures_have_a_glyph_for_every_letter(recwarn):
    given = everything_at_once()
    for figure in (ages_figure(newborn(), given, language="zh"), draw_paper(newborn(), language="zh", title="心电图")):
        figure.savefig(io.BytesIO(), format="png", dpi=40)
        texts = [text.get_text() for text in figure.findobj(style.plotting("matplotlib.text").Text)]
        assert any("年龄" in text for text in texts)
        assert english_in(" ".join(texts)) == []
    assert not [str(one.message) for one in recwarn if "missing from" in str(one.message)]


def test_without_a_chinese_font_a_figure_is_in_english_and_has_no_boxes(monkeypatch, recwarn):
    monkeypatch.setattr(style, "chinese_font", lambda: None)
    assert style.drawable("zh") == "en"
    figure = ages_figure(newborn(), measured(), language="zh")
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert any(
        text.get_text() == "One waveform, read at four ages"
        for text in figure.findobj(style.plotting("matplotlib.text").Text)
    )
    assert not [str(one.message) for one in recwarn if "missing from" in str(one.message)]
    assert "fonts-noto-cjk" in wording.words("zh")["no_font"]


def test_a_font_that_was_installed_after_the_first_run_is_found(monkeypatch):
    """matplotlib's own list of fonts is made once and is stale from then on."""
    fonts = style.plotting("matplotlib.font_manager")
    installed = style.chinese_font()
    if installed is None:
        pytest.skip("no Chinese font is installed")
    since = {font.fname for font in fonts.fontManager.ttflist if font.name in style.CHINESE_FONTS}
    stale = [font for font in fonts.fontManager.ttflist if font.fname not in since]
    monkeypatch.setattr(fonts.fontManager, "ttflist", stale)
    assert style.chinese_font() == installed
