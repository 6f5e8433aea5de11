"""Figures of the evaluation: pure functions of arrays that return matplotlib figures, in the style of `pages.style`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.age import describe
from auricle.errors import DataError, require
from auricle.evaluate.by_age import ByAge, Rate
from auricle.evaluate.metrics import reliability as reliability_bins
from auricle.explain.gates import GateCurves
from auricle.pages.style import (
    AGE_TICKS,
    COLOURS,
    HEIGHT,
    INK,
    MARKERS,
    MUTED,
    RULE,
    TEXT_PT,
    WIDTH,
    age_axis,
    age_place,
    blank_figure,
    canvas,
    legend,
    plotting,
    series,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BESIDE: Final = 0.16
_SEQUENTIAL: Final = "viridis"
# t-SNE of more points takes minutes, and the points cover each other.
TSNE_POINTS: Final = 3000
_PERPLEXITY: Final = 30.0
_MOST_LABELS: Final = len(COLOURS)


def age_effect(
    ages_days: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    actual_age_days: float | None = None,
    *,
    title: str = "The same trace, asked at other ages",
) -> Figure:
    """Probabilities of one trace over the age that the model is told.

    Args:
        ages_days: (a,) the ages asked.
        probabilities: (a, c).
        class_names: the c classes.
        actual_age_days: the patient's age, marked; None where unknown.
        title: headline.
    """
    ages, values = np.asarray(ages_days, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    figure, axes = canvas(title)
    for number, name in enumerate(class_names):
        axes.plot(age_place(ages), values[:, number], label=name, **series(number))
    if actual_age_days is not None:
        axes.axvline(float(age_place(actual_age_days)), color=INK, linewidth=1, linestyle=":")
        axes.annotate(
            f"patient, {describe(actual_age_days)}",
            (float(age_place(actual_age_days)), 1.0),
            (4, -4),
            textcoords="offset points",
            va="top",
            fontsize=TEXT_PT,
            color=INK,
        )
    axes.set(ylim=(0, 1.02), ylabel="probability")
    age_axis(axes, ages)
    legend(axes)
    return figure


def group_contributions(
    names: Sequence[str], shares: ArrayLike, *, title: str = "Contribution of each lead group"
) -> Figure:
    """How much each lead group moved the output: shares (g,) as bars with their numbers."""
    values = np.asarray(shares, dtype=np.float64)
    figure, axes = canvas(title, height=0.9 + 0.42 * len(names))
    places = np.arange(len(names))[::-1]
    axes.barh(places, values, height=0.6, color=[COLOURS[number % len(COLOURS)] for number in range(len(names))])
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{100 * value:.0f} %", (value, place), (4 if value >= 0 else -4, 0), textcoords="offset points",
            va="center", ha="left" if value >= 0 else "right", fontsize=TEXT_PT, color=INK,
        )  # fmt: skip
    axes.set_yticks(places, names)
    axes.set(xlim=(min(0.0, 1.2 * values.min()), max(1e-9, 1.2 * values.max())), xlabel="share")
    axes.xaxis.set_major_formatter(plotting("matplotlib.ticker").PercentFormatter(1, decimals=0))
    axes.grid(False, axis="y")
    return figure


def gates_over_age(curves: GateCurves) -> Figure:
    """What the age gate does: gamma and beta, and what lead groups and time scales contribute, over age.

    A uniform scaling of a group is largely undone by the next norm, so gamma alone would mislead; all are shown. Gamma
    and beta are means over modulation points, with the range as a band.
    """
    ages, place = curves.ages_days, age_place(curves.ages_days)
    has_scales = bool(curves.scale_names)
    figure = blank_figure(WIDTH, 2 * HEIGHT)
    grid = figure.subplots(2, 2)
    style(grid[0, 0], "Gate scale γ (band: range over blocks)")
    style(grid[0, 1], "Gate shift β, root mean square")
    style(grid[1, 0], "Contribution of lead groups")
    style(grid[1, 1], "Contribution of time scales" if has_scales else "")
    for number, name in enumerate(curves.group_names):
        for axes, raw in zip(grid[0], (curves.gamma, curves.beta), strict=True):
            points = raw[:, :, number]
            points = points[:, np.isfinite(points).all(axis=0)]
            if points.shape[1]:
                low, high = points.min(axis=1), points.max(axis=1)
                axes.fill_between(place, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.12, lw=0)
                axes.plot(place, points.mean(axis=1), label=name, **series(number))
        grid[1, 0].plot(place, curves.contribution[:, number], label=name, **series(number))
    for number, name in enumerate(curves.scale_names):
        grid[1, 1].plot(place, curves.scale_contribution[:, number], label=name, **series(number))
    grid[0, 0].axhline(1, color=MUTED, linewidth=0.8)
    for axes in grid[1]:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(plotting("matplotlib.ticker").PercentFormatter(1, decimals=0))
    grid[1, 1].set_visible(has_scales)
    for axes in grid.flat:
        age_axis(axes, ages)
    legend(grid[1, 0])
    if has_scales:
        legend(grid[1, 1])
    return figure


def tsne(
    features: ArrayLike,
    colour: ArrayLike,
    title: str,
    *,
    colour_name: str = "",
    is_age: bool = False,
    n_points: int = TSNE_POINTS,
    seed: int = 0,
) -> Figure:
    """Features (n, d) in the plane by t-SNE (van der Maaten and Hinton 2008), started from PCA; deterministic.

    Args:
        features: (n, d); at most `n_points` of them are drawn, chosen at random.
        colour: (n,) numbers for a colour scale, or labels; the rarest labels beyond the palette are drawn grey.
        title: headline.
        colour_name: what the colour means.
        is_age: numbers are ages in days, coloured and labelled on the age axis of the other figures.
        n_points: most points drawn.
        seed: of the choice and of t-SNE.

    Raises:
        DataError: fewer than three records.
    """
    points, values = np.asarray(features, dtype=np.float64), np.asarray(colour)
    if len(points) < 3:
        raise DataError(f"t-SNE of {len(points)} records shows nothing: give more")
    if len(points) > n_points:
        chosen = np.sort(np.random.default_rng(seed).choice(len(points), n_points, replace=False))
        points, values = points[chosen], values[chosen]
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    plane = require("sklearn.manifold", "train").TSNE(init="pca", perplexity=perplexity, random_state=seed)
    placed = plane.fit_transform(points)
    figure, axes = canvas(f"{title} ({len(points)} records)", height=5.2)
    if np.issubdtype(values.dtype, np.number):
        _scatter_by_number(figure, axes, placed, values.astype(np.float64), colour_name, is_age)
    else:
        _scatter_by_label(axes, placed, values.astype(str))
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def _scatter_by_number(
    figure: Figure, axes: Axes, placed: NDArray[Any], values: NDArray[np.float64], name: str, is_age: bool
) -> None:
    known = np.isfinite(values)
    axes.scatter(*_xy(placed[~known]), s=6, color=RULE, linewidths=0, rasterized=True)
    shown = age_place(values[known]) if is_age else values[known]
    drawn = axes.scatter(*_xy(placed[known]), s=8, c=shown, cmap=_SEQUENTIAL, linewidths=0, alpha=0.8, rasterized=True)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
    bar.set_label(name or ("age" if is_age else ""), size=TEXT_PT, color=MUTED)
    bar.solids.set_alpha(1)  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    if is_age and known.any():
        ticks = [(float(age_place(day)), label) for day, label in AGE_TICKS]
        inside = [(place, label) for place, label in ticks if shown.min() <= place <= shown.max()]
        bar.set_ticks([place for place, _ in inside], labels=[label for _, label in inside])
    bar.ax.tick_params(labelsize=TEXT_PT, colors=INK, length=0, pad=6)


def _xy(placed: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return placed[:, 0], placed[:, 1]


def _scatter_by_label(axes: Axes, placed: NDArray[Any], labels: NDArray[np.str_]) -> None:
    names, counts = np.unique(labels, return_counts=True)
    ranked = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
    shown = ranked if len(ranked) <= _MOST_LABELS else ranked[: _MOST_LABELS - 1]
    rest = ~np.isin(labels, shown)
    if rest.any():
        axes.scatter(*_xy(placed[rest]), s=6, color=RULE, linewidths=0, label="others", rasterized=True)
    for number, name in enumerate(shown):
        chosen = placed[labels == name]
        axes.scatter(
            *_xy(chosen), s=10, color=COLOURS[number], marker=MARKERS[number], linewidths=0, alpha=0.75, label=name,
            rasterized=True,
        )  # fmt: skip
    legend(axes, markerscale=2.5)


def reliability(truth: ArrayLike, probability: ArrayLike, class_names: Sequence[str], *, title: str = "") -> Figure:
    """Observed against predicted frequency, (n, c) each: a calibrated class lies on the diagonal."""
    true, given = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    figure, axes = canvas(title or "Calibration", width=5.2, height=4.4)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
    for number, name in enumerate(class_names):
        bins = reliability_bins(true[:, number], given[:, number])
        axes.plot(bins.predicted, bins.observed, marker="o", markersize=4, label=name, **series(number))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed frequency")
    axes.set_aspect("equal")
    legend(axes)
    return figure


def training_curve(
    steps: ArrayLike,
    loss: ArrayLike,
    *,
    validation_steps: ArrayLike = (),
    validation: ArrayLike = (),
    validation_name: str = "validation",
    title: str = "Training",
) -> Figure:
    """Training loss over steps, and a validation measure on an axis of its own where there is one."""
    figure, axes = canvas(title)
    axes.plot(np.asarray(steps), np.asarray(loss), label="training loss", **series(0))
    axes.set(xlabel="step", ylabel="loss")
    if len(np.asarray(validation)):
        right = axes.twinx()
        right.plot(np.asarray(validation_steps), np.asarray(validation), marker="o", markersize=4, **series(1))
        right.set_ylabel(validation_name, fontsize=TEXT_PT, color=COLOURS[1])
        right.tick_params(labelsize=TEXT_PT, colors=COLOURS[1], length=0, pad=6)
        for side in right.spines.values():
            side.set_visible(False)
    return figure


def metric_over_age(
    ages_days: ArrayLike,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    title: str = "Macro AUROC by age",
) -> Figure:
    """A metric as a smooth curve over age with its interval: name -> (value, low, high), each (a,), NaN where unknown.

    The curves are those of `auricle.evaluate.metrics.macro_over_age`.
    """
    ages = np.asarray(ages_days, dtype=np.float64)
    figure, axes = canvas(title)
    for number, (name, curve) in enumerate(curves.items()):
        value, low, high = (np.asarray(part, dtype=np.float64) for part in curve)
        colour = COLOURS[number % len(COLOURS)]
        axes.fill_between(age_place(ages), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(age_place(ages), value, label=name, **series(number))
    age_axis(axes, ages)
    legend(axes)
    return figure


def rates_over_age(found: Mapping[str, ByAge], class_name: str) -> Figure:
    """How often a class is called over age, by run: among those who have it, and among those who have it not.

    Args:
        found: by name of the run, of `auricle.evaluate.by_age.by_age`.
        class_name: the class; a run in which it cannot be told is left out.
    """
    figure = blank_figure(WIDTH, HEIGHT)
    panels = figure.subplots(1, 2)
    asked: tuple[tuple[Rate, str], ...] = (("sensitivity", "found"), ("false_positives", "falsely called"))
    for axes, (rate, title) in zip(panels, asked, strict=True):
        style(axes, f"{class_name}: {title}")
        for number, (name, by_run) in enumerate(found.items()):
            one = next((entry for entry in by_run.classes if entry.name == class_name), None)
            if one is None or rate not in one.curves:
                continue
            curve, place = one.curves[rate], age_place(by_run.ages_days)
            axes.fill_between(place, curve.low, curve.high, color=COLOURS[number % len(COLOURS)], alpha=0.13, lw=0)
            axes.plot(place, curve.value, label=name, **series(number))
            age_axis(axes, by_run.ages_days)
        axes.set_ylim(-0.02, 1.02)
    legend(panels[1])
    return figure


def robustness(
    conditions: Sequence[tuple[str, str]],
    scores: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    title: str = "",
) -> Figure:
    """Macro AUROC of each method under each condition, with its interval; methods differ by colour and by shape.

    Args:
        conditions: (name, family) in the order they are drawn; a gap separates families.
        scores: method -> condition -> macro AUROC in 0 to 1, with the lower and the upper bound of its interval.
        title: headline.
    """
    shown = [(name, family) for name, family in conditions if any(name in found for found in scores.values())]
    gaps = np.cumsum([number > 0 and family != shown[number - 1][1] for number, (_, family) in enumerate(shown)])
    place = -(np.arange(len(shown)) + 0.6 * gaps)
    figure, axes = canvas(title or "What is left under harder conditions", height=0.32 * len(shown) + 1.4)
    for number, (method, found) in enumerate(scores.items()):
        missing = (np.nan, np.nan, np.nan)
        value, low, high = 100 * np.array([found.get(name, missing) for name, _ in shown]).T
        # Methods stand a little apart, so that their intervals do not cover each other.
        apart = _BESIDE * (number - (len(scores) - 1) / 2)
        axes.errorbar(
            value, place - apart, xerr=np.maximum(0, [value - low, high - value]), label=method, alpha=0.85,
            fmt=MARKERS[number % len(MARKERS)], ms=6, lw=1, color=COLOURS[number % len(COLOURS)],
        )  # fmt: skip
    axes.axvline(50, color=MUTED, lw=1)
    axes.set_yticks(place, [name for name, _ in shown])
    axes.set_xlabel("macro AUROC, per cent (50 is chance)")
    axes.grid(axis="x", color=RULE)
    legend(axes)
    return figure
