"""Figures: every one draws from plain arrays, and draws what it was given."""

import io
import threading

import matplotlib as mpl
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from auricle.age import DAYS_PER_YEAR
from auricle.errors import DataError
from auricle.explain import figures
from auricle.explain.gates import GateCurves

AGES = np.expm1(np.linspace(0, np.log1p(18 * DAYS_PER_YEAR), 30))


@pytest.fixture(autouse=True)
def one_thread():
    """t-SNE meets at thousands of barriers: on a busy machine two threads wait for each other longer than one works."""
    with threadpool_limits(1):
        yield


def drawn(figure):
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    return content.getvalue()


def gates(groups=4):
    gamma = np.ones((30, 3, groups)) + np.linspace(0.5, 0, 30)[:, None, None]
    gamma[:, 1] = np.nan  # a point without groups
    return gamma, np.full((30, groups), 1 / groups)


def curves_of(gamma, share):
    names = tuple("lisa"[: share.shape[1]])
    return GateCurves(AGES, names, ("short", "long"), gamma, gamma / 2, share, np.tile([0.7, 0.3], (30, 1)))


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
        "gates": figures.gates_over_age(curves_of(gamma, share)),
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
    scale, shift, groups, scales = figures.gates_over_age(curves_of(gamma, share)).axes
    assert scale.lines[0].get_ydata()[0] == pytest.approx(1.6)  # of 1.7 and 1.5; the point without groups is left out
    assert shift.lines[0].get_ydata()[0] == pytest.approx(0.8)
    assert groups.lines[0].get_ydata()[0] == pytest.approx(0.5)
    assert scales.lines[1].get_ydata()[0] == pytest.approx(0.3)


def test_tsne_is_the_same_every_time_and_bounded():
    features = np.random.default_rng(0).normal(size=(60, 4))
    once, again = (figures.tsne(features, ["a"] * 60, "t", n_points=30).axes[0].collections for _ in range(2))
    np.testing.assert_array_equal(once[0].get_offsets(), again[0].get_offsets())
    assert len(once[0].get_offsets()) == 30
    with pytest.raises(DataError, match="give more"):
        figures.tsne(features[:2], ["a", "b"], "t")
