"""The one style of all figures: colours, sizes, and the axis of ages.

Nothing touches matplotlib's global state: no pyplot, no rcParams. Colours are those of Okabe and Ito (2008), which
people with any colour vision tell apart; series also differ in their line, dots in their shape and bars in their
hatching, so that a grey print stays readable.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.age import ADULT_DAYS, DAYS_PER_MONTH, DAYS_PER_YEAR
from auricle.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6A00", "#444444")
LINES: Final = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES: Final = ("", "////", "....")
INK, MUTED, RULE = "#22222a", "#6b6570", "#dddde3"
TITLE_PT, TEXT_PT, LINE_PT = 11.0, 9.0, 1.8
# Families with Chinese letters, those of screens first; the Japanese and Korean ones of a family have them as well.
CHINESE_FONTS: Final = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "STHeiti", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei", "Noto Sans CJK TC",
    "Noto Sans CJK HK", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Serif CJK SC", "Noto Serif SC", "SimSun",
    "Songti SC", "AR PL UMing CN", "AR PL UKai CN", "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip
_LATIN_FONT: Final = "DejaVu Sans"  # matplotlib's own
WIDTH, HEIGHT = 8.8, 3.8  # inches: the column of `page`, at 96 pixels an inch
AGE_TICKS: Final = (
    (0.0, "birth"),
    (7.0, "1 wk"),
    (DAYS_PER_MONTH, "1 mo"),
    (DAYS_PER_YEAR, "1 yr"),
    (5 * DAYS_PER_YEAR, "5 yr"),
    (ADULT_DAYS, "18 yr"),
    (80 * DAYS_PER_YEAR, "80 yr"),
)


def age_place(days: ArrayLike) -> NDArray[np.float64]:
    """Places of ages in days on the age axis: log(1 + days), which has a place for birth."""
    placed: NDArray[np.float64] = np.log1p(np.asarray(days, dtype=np.float64))
    return placed


def age_axis(axes: Axes, ages: NDArray[np.float64]) -> None:
    """Label a horizontal axis of ages placed by `age_place`."""
    inside = [(float(age_place(day)), name) for day, name in AGE_TICKS if ages.min() <= day <= 1.01 * ages.max()]
    axes.set_xticks([place for place, _ in inside], [name for _, name in inside])
    axes.set(xlim=(float(age_place(ages.min())), float(age_place(ages.max()))), xlabel="age")


def canvas(title: str, *, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A figure in inches with one plot, in the style of all figures."""
    figure = blank_figure(width, height)
    axes = figure.add_subplot()
    style(axes, title)
    return figure, axes


def blank_figure(width: float, height: float) -> Figure:
    """An empty white figure of a size in inches."""
    figure: Figure = plotting("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    figure.set_facecolor("white")
    return figure


def style(axes: Axes, title: str) -> None:
    """Give axes the title, ticks, grid and spines that all plots have."""
    axes.set_title(title, loc="left", fontsize=TITLE_PT, color=INK, fontweight="bold", pad=8)
    axes.tick_params(labelsize=TEXT_PT, colors=INK, length=0, pad=6)
    axes.grid(True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for name, side in axes.spines.items():
        side.set_visible(name == "bottom")
        side.set_color(MUTED)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(fontsize=TEXT_PT, color=MUTED)


def series(number: int) -> dict[str, Any]:
    """Colour and line of the curve of this number, as keywords of `Axes.plot`."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINES[(number // 2) % len(LINES)],
        "linewidth": LINE_PT,
    }


def chinese_font() -> str | None:
    """The family of an installed font with Chinese letters, None where there is none.

    matplotlib keeps a list of fonts from its first run; what was installed since is looked for and added to it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    fonts = plotting("matplotlib.font_manager")
    found = _installed(fonts)
    if found is None:
        listed = {font.fname for font in fonts.fontManager.ttflist}
        for path in fonts.findSystemFonts():
            if path not in listed:
                # A file that is no font is none of ours.
                with contextlib.suppress(OSError, RuntimeError):
                    fonts.fontManager.addfont(path)
        found = _installed(fonts)
    return found


def _installed(fonts: Any) -> str | None:
    families = {font.name for font in fonts.fontManager.ttflist}
    return next((family for family in CHINESE_FONTS if family in families), None)


def drawable(language: str) -> str:
    """The language itself, or English where no installed font has its letters.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return "en" if language == "zh" and chinese_font() is None else language


def lettered(figure: Figure, language: str) -> Figure:
    """The figure, whose texts are drawn with a font that has the letters of a language; call it when all is drawn."""
    if drawable(language) == "zh":
        for text in figure.findobj(plotting("matplotlib.text").Text):
            text.set_fontfamily([_LATIN_FONT, chinese_font()])
    return figure


def legend(axes: Axes, **options: Any) -> None:
    """Add a legend beside the plot, where it covers no data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=TEXT_PT, labelcolor=INK, **options)


def plotting(name: str) -> Any:
    """A matplotlib module by name.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return require(name, "train")
