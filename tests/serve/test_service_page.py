"""The page in a real browser: what people see and do, in Debian's chromium driven headless."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auricle
from auricle.io.csv_writer import write_csv
from serving import Service, service

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
MM = 96 / 25.4  # CSS pixels


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, running: Service) -> Iterator[Any]:
    """The page, opened; whatever the browser complains of is a fault."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    # That an answer has the status of a refusal is no fault.
    opened.on(
        "console",
        lambda said: faults.append(said.text) if said.type == "error" and "status of 4" not in said.text else None,
    )
    opened.goto(f"http://127.0.0.1:{running.port}/")
    opened.wait_for_selector("html[data-ready]")
    yield opened
    context.close()
    assert faults == []


def until(page: Any, expression: str, seconds: float = 30.0) -> None:
    """Wait until something is true on the page. Playwright's own waiting evaluates strings, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def upload(page: Any, samples: Path, *names: str) -> None:
    page.set_input_files("#files", [str(samples / f"{name}{suffix}") for name in names for suffix in (".hea", ".dat")])
    page.wait_for_selector("#values table")
    until(page, "document.getElementById('message').textContent === ''")


def drag(page: Any, first: tuple[float, float], last: tuple[float, float]) -> None:
    """Drag across the paper, from and to places in millimetres of it."""
    box = page.locator("#paper").bounding_box()
    for act, (x, y) in ((page.mouse.down, first), (page.mouse.up, last)):
        page.mouse.move(box["x"] + x * MM, box["y"] + y * MM)
        act()


def points(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)])


def test_a_recording_is_shown_in_true_millimetres(page, samples):
    upload(page, samples, "newborn")
    box = page.locator("#paper").bounding_box()
    width, height = map(float, page.get_attribute("#paper", "viewBox").split()[2:])
    assert box["width"] == pytest.approx(width * MM, abs=1)
    assert box["height"] == pytest.approx(height * MM, abs=1)
    # Of lead II over the whole time: a second is 25 mm, a millivolt 10 mm.
    drawn = points(page.locator("#paper .trace").last.get_attribute("d"))
    recording = auricle.read(samples / "newborn.hea")
    signal = recording.signal[recording.leads.index("II")]
    np.testing.assert_allclose(np.diff(drawn[:, 0]), 25 / recording.rate_hz, atol=0.011)
    np.testing.assert_allclose(-(drawn[:, 1] - drawn[0, 1]), 10 * (signal[: len(drawn)] - signal[0]), atol=0.011)


@pytest.mark.parametrize(("speed", "gain", "zoom"), [("50", "20", "1"), ("12.5", "5", "2"), ("100", "10", "0.5")])
def test_speed_gain_and_size_do_what_they_say(page, samples, speed, gain, zoom):
    upload(page, samples, "newborn")
    before = points(page.locator("#paper .trace").last.get_attribute("d"))
    for name, value in (("speed", speed), ("gain", gain), ("zoom", zoom)):
        page.select_option(f"#{name}", value)
    after = points(page.locator("#paper .trace").last.get_attribute("d"))
    ratio = np.ptp(after, axis=0) / np.ptp(before, axis=0)
    np.testing.assert_allclose(ratio, [float(speed) / 25, float(gain) / 10], rtol=0.02)
    width = float(page.get_attribute("#paper", "viewBox").split()[2])
    assert page.locator("#paper").bounding_box()["width"] == pytest.approx(width * MM * float(zoom), abs=1)


def test_a_ruler_makes_millimetres_true_on_this_screen(page, samples):
    upload(page, samples, "newborn")
    before = page.locator("#paper").bounding_box()["width"]
    page.click(".tools summary")
    page.fill("#ruler", "125")
    page.keyboard.press("Tab")
    assert page.locator("#paper").bounding_box()["width"] == pytest.approx(before / 1.25, abs=1)


def test_calipers_snap_to_samples(page, samples):
    upload(page, samples, "newborn")
    page.select_option("#layout", "12x1")
    drag(page, (12 + 25.13, 6), (12 + 50.31, 7))
    said = page.inner_text("#caliper")
    found = re.fullmatch(r"I: ([\d.]+) ms · (\d+)/min · (-?[\d.]+) mV", said)
    assert found, said
    recording = auricle.read(samples / "newborn.hea")
    step = 1000 / recording.rate_hz
    ms = float(found[1])
    assert ms / step == pytest.approx(round(ms / step), abs=1e-6)
    assert ms == pytest.approx(1007, abs=2 * step)
    assert int(found[2]) == round(60_000 / ms)
    first = round(25.13 / 25 * recording.rate_hz)
    signal = recording.signal[0]
    differences = [signal[a + round(ms / step)] - signal[a] for a in (first - 1, first, first + 1)]
    assert min(abs(float(found[3]) - difference) for difference in differences) < 0.001
    # An arrow moves the end by one sample, and after X the other end.
    page.locator("#paper").focus()
    page.keyboard.press("ArrowRight")
    assert float(page.inner_text("#caliper").split()[1]) == pytest.approx(ms + step, abs=0.051)
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    assert float(page.inner_text("#caliper").split()[1]) == pytest.approx(ms - 9 * step, abs=0.051)
    page.keyboard.press("Escape")
    assert page.locator(".calipers").count() == 0


def leads_shown(page) -> list[str]:
    return page.locator("#paper .lead").all_text_contents()


def test_every_layout_has_its_leads(page, samples):
    upload(page, samples, "newborn")
    limb, chest = ["I", "II", "III", "aVR", "aVL", "aVF"], ["V1", "V2", "V3", "V4", "V5", "V6"]
    expected = {
        "1": [*limb, *chest, "II"], "2": [*limb, *chest], "3": [*limb, *chest],
        "4": ["aVL", "I", "−aVR", "II", "aVF", "III", *chest],
        "5": [*limb, "V4R", "V3R", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "II"],
    }  # fmt: skip
    for key, leads in expected.items():
        page.keyboard.press(key)
        assert leads_shown(page) == leads
    assert page.locator("#paper .absent-lead").count() == 3  # V4R, V3R and V7 were not recorded
    page.keyboard.press("4")
    turned = points(page.locator('#paper .trace[data-lead="−aVR"]').get_attribute("d"))
    page.keyboard.press("2")
    as_recorded = points(page.locator('#paper .trace[data-lead="aVR"]').get_attribute("d"))
    np.testing.assert_allclose(np.diff(turned[:, 1]), -np.diff(as_recorded[:, 1]), atol=0.021)


def test_further_leads_have_their_place_and_few_leads_theirs(page, samples, tmp_path):
    recording = auricle.read(samples / "newborn.hea")
    write_csv(tmp_path / "few.csv", recording)
    signal = np.vstack([recording.signal, recording.signal[6:8]])
    np.savez(
        tmp_path / "more.npz",
        signal=signal,
        rate_hz=recording.rate_hz,
        leads=np.array([*recording.leads, "V3R", "V4R"]),
    )
    page.set_input_files("#files", str(tmp_path / "more.npz"))
    page.wait_for_selector("#values table")
    page.keyboard.press("5")
    assert page.locator("#paper .absent-lead").count() == 1  # V7
    page.keyboard.press("1")
    assert {"V3R", "V4R"} < set(leads_shown(page))
    np.savez(tmp_path / "one.npz", signal=recording.signal[1:2], rate_hz=recording.rate_hz, leads=np.array(["II"]))
    opened(page, str(tmp_path / "one.npz"))
    page.keyboard.press("3")
    assert leads_shown(page) == ["II"]


def test_another_age_changes_centiles_and_the_answer(page, samples):
    upload(page, samples, "newborn")
    axis = page.locator('#values tr[data-code="qrs_axis"]')
    before, likely = axis.inner_text(), page.locator('#answer tr[data-code="NORM"]').inner_text()
    page.fill("#age", "3yr")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('title').textContent.includes('3 yr')")
    assert axis.inner_text() != before
    assert "high" in axis.get_attribute("class")
    assert page.locator('#answer tr[data-code="NORM"]').inner_text() != likely
    page.fill("#age", "soon")
    page.keyboard.press("Enter")
    page.wait_for_selector("#message.error")
    assert "soon" in page.inner_text("#message")


def test_two_recordings_beside_each_other_with_what_changed(page, samples):
    upload(page, samples, "newborn", "child")
    page.select_option("#compare", label="child")
    page.wait_for_selector("#changes table")
    assert page.locator("#previous-paper .trace").count() == 13
    assert (
        "QRS axis" in page.locator("#changes tr.clear").all_text_contents()[4:][0]
        or page.locator("#changes tr.clear").count() > 3
    )


def test_two_tabs_do_not_know_each_other(page, samples):
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("html[data-ready]")
    upload(page, samples, "newborn")
    upload(other, samples, "adult")
    page.fill("#age", "8d")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('title').textContent.includes('8 d')")
    assert other.inner_text("#title").startswith("adult")
    assert page.inner_text("#title").startswith("newborn")
    assert page.locator("#recordings li").count() == other.locator("#recordings li").count() == 1


def test_languages_reach_every_text(page, samples):
    upload(page, samples, "newborn")
    english = set(page.inner_text("body").split("\n"))
    for language, axis in (("de", "QRS-Achse"), ("zh", "QRS 电轴")):
        page.select_option("#language", language)
        until(page, f"document.getElementById('values').textContent.includes({axis!r})")
        left = english & set(page.inner_text("body").split("\n"))
        sentences = [line for line in left if len(line.split()) > 3 and not re.search(r"\d", line)]
        assert sentences == []
    assert page.get_attribute("html", "lang") == "zh"


def test_what_cannot_be_read_is_said_and_the_page_goes_on(page, samples, tmp_path):
    (tmp_path / "broken.xml").write_bytes(b"<restingecgdata><broken")
    page.set_input_files("#files", str(tmp_path / "broken.xml"))
    page.wait_for_selector("#message.error")
    assert "broken.xml" in page.inner_text("#message")
    assert page.is_hidden("#viewer")
    upload(page, samples, "newborn")
    assert page.is_visible("#viewer")


def test_names_and_reports_are_text_and_never_markup(page, samples, tmp_path):
    name = "<img src=x onerror=alert(1)>"
    for suffix in (".hea", ".dat"):
        text = (samples / f"newborn{suffix}").read_bytes().replace(b"newborn", name.encode())
        (tmp_path / f"{name}{suffix}").write_bytes(text)
    page.set_input_files("#files", [str(tmp_path / f"{name}{suffix}") for suffix in (".hea", ".dat")])
    until(page, "document.querySelector('#recordings').textContent.includes('onerror')")
    assert page.locator("img[src=x]").count() == 0


def test_a_recording_of_the_watched_folder_is_opened(page):
    page.wait_for_selector("#watched button")
    page.click("#watched button:has-text('child.hea')")
    page.wait_for_selector("#values table")
    assert page.inner_text("#title").startswith("child.hea")


def test_it_prints_as_one_a4_page(page, samples, tmp_path):
    upload(page, samples, "newborn")
    page.pdf(path=tmp_path / "print.pdf", prefer_css_page_size=True)
    content = (tmp_path / "print.pdf").read_bytes()
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert len(boxes) == 1
    assert [round(float(side) / 72 * 25.4) for side in boxes[0]] == [297, 210]
    printed = page.locator("#sheet")
    assert "not a diagnosis" in printed.text_content()
    # On paper a second is 25 mm whatever the screen shows.
    page.select_option("#speed", "50")
    assert page.locator("#printed").get_attribute("width").endswith("mm")
    drawn = points(page.locator("#printed .trace").last.get_attribute("d"))
    assert np.ptp(drawn[:, 0]) == pytest.approx(250, abs=0.2)


def test_everything_is_reached_by_keyboard_and_named(page, samples):
    upload(page, samples, "newborn")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert page.evaluate("document.activeElement.id") == "age"
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, select, input:not([hidden])')].filter(one =>
            !one.textContent.trim() && !one.labels?.length && !one.ariaLabel && one.offsetParent).map(one => one.id)"""
    )
    assert unnamed in ([], ["ruler"])


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_light_and_dark(browser, running, samples, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{running.port}/")
    page.wait_for_selector("html[data-ready]")
    upload(page, samples, "newborn")
    places = [("body", "body"), (".banner", ".banner"), (".weak", "#panels section"), ("thead th", "#panels section")]
    places += [("#caliper", "body"), ("button.first", "button.first")]
    style = "getComputedStyle(document.querySelector(place))"
    pairs = [
        (page.evaluate(f"place => {style}.color", text), page.evaluate(f"place => {style}.backgroundColor", ground))
        for text, ground in places
    ]
    for text, ground in pairs:
        high, low = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
    context.close()


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, running, samples):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{running.port}/")
    page.wait_for_selector("html[data-ready]")
    upload(page, samples, "newborn")
    assert page.evaluate("document.documentElement.scrollWidth") <= 391
    context.close()


def test_a_long_recording_is_gone_through(page, samples, tmp_path):
    recording = auricle.read(samples / "newborn.hea")
    signal = np.tile(recording.signal, (1, 18))  # three minutes
    np.savez(tmp_path / "long.npz", signal=signal, rate_hz=recording.rate_hz, leads=np.array(recording.leads))
    page.set_input_files("#files", str(tmp_path / "long.npz"))
    page.wait_for_selector("#values table")
    first = page.locator("#paper .trace").last.get_attribute("d")
    page.fill("#start", "125")  # beyond what was sent at first
    page.keyboard.press("Enter")
    until(page, f"[...document.querySelectorAll('#paper .trace')].at(-1).getAttribute('d') !== {json.dumps(first)}")
    until(page, "document.getElementById('message').textContent === ''")
    drawn = points(page.locator("#paper .trace").last.get_attribute("d"))
    start = round(125 * recording.rate_hz)
    expected = 10 * (
        signal[recording.leads.index("II")][start : start + 200] - signal[recording.leads.index("II")][start]
    )
    np.testing.assert_allclose(-(drawn[:200, 1] - drawn[0, 1]), expected, atol=0.011)


def test_fifty_megabytes_are_taken_and_more_are_refused_before_they_are_sent(browser, samples, tmp_path):
    recording = auricle.read(samples / "newborn.hea")
    n = 52 * 2**20 // (8 * len(recording.leads))
    signal = np.tile(recording.signal, (1, math.ceil(n / recording.signal.shape[1])))[:, :n]
    signal = signal.astype(np.float64)
    np.savez(tmp_path / "large.npz", signal=signal, rate_hz=recording.rate_hz, leads=np.array(recording.leads))
    np.savez(tmp_path / "too_large.npz", signal=np.zeros((12, 1_000_000)))
    options = ("--weights", "none", "--workers", 1, "--upload-seconds", 600, "--seconds", 120)
    with service(tmp_path / "log", *options) as running:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/")
        page.wait_for_selector("html[data-ready]")
        page.set_input_files("#files", str(tmp_path / "large.npz"))
        page.wait_for_selector("#values table", timeout=120_000)
        assert page.locator("#paper .trace").count() == 13
        sent = running.log.count("POST")
        page.set_input_files("#files", str(tmp_path / "too_large.npz"))
        page.wait_for_selector("#message.error")
        assert "64 MB" in page.inner_text("#message")
        assert running.log.count("POST") == sent
        page.close()


def test_the_token_is_asked_for_on_the_page(browser, samples, tmp_path):
    options = ("--weights", "none", "--workers", 1)
    with service(tmp_path / "log", *options, environment={"AURICLE_TOKEN": "a token that nobody guesses"}) as running:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/")
        page.wait_for_selector("html[data-ready]")
        page.set_input_files("#files", [str(samples / "newborn.hea"), str(samples / "newborn.dat")])
        page.wait_for_selector("#login[open]")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('login-message').textContent !== ''")
        page.fill("#token", "a token that nobody guesses")
        page.keyboard.press("Enter")
        page.wait_for_selector("#values table")
        assert "token" not in page.url
        assert page.evaluate("document.cookie") == ""
        assert "token that" not in json.dumps(page.evaluate("({...localStorage})"))
        context.close()


def test_a_service_that_went_away_is_said(browser, samples, tmp_path):
    with service(tmp_path / "log", "--weights", "none", "--workers", 1) as running:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/")
        page.wait_for_selector("html[data-ready]")
        running.kill()
        page.set_input_files("#files", [str(samples / "newborn.hea"), str(samples / "newborn.dat")])
        page.wait_for_selector("#message.error")
        assert "cannot be reached" in page.inner_text("#message")
        page.close()


def test_files_are_put_together_as_people_choose_them(page):
    found = page.evaluate(
        """async () => {
            const { grouped } = await import('/app.js');
            const names = (...all) => grouped(all.map(name => ({ name }))).map(one => one.files.map(file => file.name));
            return [names('a.hea', 'a.dat', 'b.hea', 'b.dat', 'c.xml'), names('r.hea', 'one.dat', 'two.dat'),
                names('2.25.31.dcm', '2.25.32.dcm')];
        }"""
    )
    assert found == [
        [["a.hea", "a.dat"], ["b.hea", "b.dat"], ["c.xml"]],
        [["r.hea", "one.dat", "two.dat"]],
        [["2.25.31.dcm"], ["2.25.32.dcm"]],
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_scripts_are_whole(running):
    for name in ("app.js", "paper.js", "calipers.js", "panels.js"):
        path = Path(auricle.__file__).parent / "serve" / "page" / name
        subprocess.run(["node", "--check", "--input-type=module"], input=path.read_bytes(), check=True)


def test_an_old_answer_that_comes_late_changes_nothing(page, samples):
    upload(page, samples, "newborn")
    held: list[Any] = []

    def hold(route: Any) -> None:
        if not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/view", hold)
    for age in ("30yr", "8d"):
        page.fill("#age", age)
        page.keyboard.press("Enter")
        page.wait_for_timeout(50)
    until(page, "document.getElementById('title').textContent.includes('8 d')")
    held[0].continue_()
    page.wait_for_timeout(500)
    page.keyboard.press("2")
    assert "8 d" in page.inner_text("#title")
    assert "8 d" in page.locator("#sheet").text_content()


def saved(path: Path, recording: Any, signal: np.ndarray, rate_hz: float | None = None) -> str:
    """A recording with another trace, as a file."""
    np.savez(path, signal=signal, rate_hz=rate_hz or recording.rate_hz, leads=np.array(recording.leads))
    return str(path)


def opened(page: Any, file: str) -> None:
    page.set_input_files("#files", file)
    until(page, f"document.getElementById('title').textContent.startsWith({Path(file).name!r})")
    until(page, "document.getElementById('message').textContent === ''")


def strip_of(page: Any, number: int) -> tuple[float, float]:
    """Left end and level of a trace, in millimetres of the paper."""
    drawn = points(page.locator("#paper .trace").nth(number).get_attribute("d"))
    return float(drawn[0, 0]), float(np.median(drawn[:, 1]))


def test_calipers_measure_what_is_shown_and_nothing_else(page, samples):
    upload(page, samples, "newborn", "child")
    left, level = strip_of(page, 12)  # the rhythm strip
    drag(page, (left + 20, level), (left + 200, level))
    said = page.inner_text("#caliper")
    assert said.startswith("II: ")
    # Drawn again they stay on the rhythm strip, where they are in time; II has a column of its own that ends sooner.
    page.keyboard.press("+")
    assert page.inner_text("#caliper") == said
    level_drawn = float(page.locator("#paper .calipers circle").first.get_attribute("cy"))
    assert level_drawn == pytest.approx(level, abs=15)
    page.keyboard.press("4")  # no rhythm strip here, and the column of II ends sooner
    assert page.locator("#paper .calipers").count() == 0
    page.keyboard.press("1")
    # Another recording was not measured.
    drag(page, (left + 20, level), (left + 30, level))
    page.click("#recordings button:has-text('child')")
    until(page, "document.getElementById('title').textContent.startsWith('child')")
    assert page.locator("#paper .calipers").count() == 0
    assert page.inner_text("#caliper").startswith("Drag")


def test_calipers_stay_in_time_and_go_with_their_stretch(page, samples, tmp_path):
    recording = auricle.read(samples / "newborn.hea")
    opened(page, saved(tmp_path / "long.npz", recording, np.tile(recording.signal, (1, 3))))
    page.keyboard.press("3")
    left, level = strip_of(page, 1)
    drag(page, (left + 100, level), (left + 125, level))
    said, place = page.inner_text("#caliper"), page.locator("#paper .calipers .end").first.get_attribute("d")
    page.fill("#start", "2")
    page.keyboard.press("Tab")
    assert page.inner_text("#caliper") == said
    moved = page.locator("#paper .calipers .end").first.get_attribute("d")
    first, second = (float(re.match(r"M([\d.]+) ", one)[1]) for one in (place, moved))
    assert first - second == pytest.approx(50, abs=1e-6)
    page.fill("#start", "10")
    page.keyboard.press("Tab")
    assert page.locator("#paper .calipers").count() == 0


def test_calipers_are_placed_by_a_key(page, samples):
    upload(page, samples, "newborn")
    page.locator("#paper").focus()
    for lead in ("I", "II", "III"):
        page.keyboard.press("c")
        assert page.inner_text("#caliper").startswith(f"{lead}: 400.0 ms · 150/min")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#caliper").startswith("III: 396.0 ms")


def test_where_amplitudes_are_unknown_nothing_is_said_in_millivolts(page, samples, tmp_path):
    text = (samples / "newborn.hea").read_text(encoding="utf-8")
    without = re.sub(r"(?m)^(newborn\.dat \S+) \S+", r"\1 0", text)
    assert without != text
    (tmp_path / "newborn.hea").write_text(without, encoding="utf-8")
    (tmp_path / "newborn.dat").write_bytes((samples / "newborn.dat").read_bytes())
    upload(page, tmp_path, "newborn")
    page.keyboard.press("c")
    assert page.inner_text("#caliper") == "I: 400.0 ms · 150/min"
    assert "unknown" in page.inner_text("#remarks")
    assert "amplitudes of this recording are unknown" in page.locator("#sheet").text_content()


def test_until_it_is_read_nothing_of_another_recording_stands_there(page, samples):
    upload(page, samples, "newborn")
    held: list[Any] = []
    page.route("**/api/view", lambda route: held.append(route))
    page.set_input_files("#files", [str(samples / f"child{suffix}") for suffix in (".hea", ".dat")])
    until(page, "document.getElementById('message').textContent.includes('child')")
    assert page.is_hidden("#viewer")
    assert page.is_disabled("#report")
    # One that was read before is shown as it was, and what is typed meanwhile is neither printed nor reported.
    page.click("#recordings button:has-text('newborn')")
    assert page.inner_text("#title").startswith("newborn")
    assert page.is_disabled("#print-button")
    for route in held:
        route.continue_()
    until(page, "document.getElementById('message').textContent === ''")
    assert page.inner_text("#title").startswith("newborn")
    assert page.is_enabled("#print-button")


@pytest.mark.parametrize("layout", ["1", "3"])
def test_tall_waves_are_not_cut_off(page, samples, tmp_path, layout):
    recording = auricle.read(samples / "newborn.hea")
    opened(page, saved(tmp_path / "tall.npz", recording, 6 * recording.signal))
    page.keyboard.press(layout)
    for paper in ("#paper", "#printed"):
        height = float(page.get_attribute(paper, "viewBox").split()[3])
        for path in page.locator(f"{paper} .trace").all():
            drawn = points(path.get_attribute("d"))
            assert drawn[:, 1].min() >= 0
            assert drawn[:, 1].max() <= height
    assert page.is_hidden("#cut")
    # What does not fit on a page at 10 mm/mV is printed smaller, and the page says so.
    sheet = page.locator("#sheet").text_content()
    assert re.search(r"25 mm/s · (5|2\.5|1\.25) mm/mV, so that all of it has room", sheet)
    assert float(page.get_attribute("#printed", "viewBox").split()[3]) <= 140


def test_a_trace_that_has_room_is_printed_at_ten_millimetres(page, samples):
    upload(page, samples, "newborn")
    assert "25 mm/s · 10 mm/mV ·" in page.locator("#sheet").text_content()


def test_missing_samples_take_none_of_their_neighbours_away(page, samples, tmp_path):
    recording = auricle.read(samples / "newborn.hea")
    signal = np.repeat(recording.signal, 4, axis=1)  # 2000 Hz: eight samples are drawn as one place
    signal[:, ::50] = np.nan
    opened(page, saved(tmp_path / "gaps.npz", recording, signal, 4 * recording.rate_hz))
    page.keyboard.press("3")
    drawn = points(page.locator("#paper .trace").first.get_attribute("d"))
    present = np.flatnonzero(~np.isnan(signal[0]))
    rate_hz = 4 * recording.rate_hz
    shown = present[present < 10 * rate_hz] / rate_hz * 25 + drawn[0, 0] - present[0] / rate_hz * 25
    gaps = np.array([np.min(np.abs(drawn[:, 0] - x)) for x in shown[:2000]])
    assert gaps.max() <= 0.06  # a twentieth of a millimetre


def test_a_finger_taps_and_scrolls(browser, running, samples):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{running.port}/")
    page.wait_for_selector("html[data-ready]")
    upload(page, samples, "newborn")
    page.locator("#paper").scroll_into_view_if_needed()
    box = page.locator("#paper").bounding_box()
    left, level = strip_of(page, 0)
    for x in (left + 10, left + 35):
        page.touchscreen.tap(box["x"] + x * MM, box["y"] + level * MM)
    found = re.match(r"I: ([\d.]+) ms", page.inner_text("#caliper"))
    assert found, page.inner_text("#caliper")
    assert float(found[1]) == pytest.approx(1000, abs=25)
    context.close()


def test_what_has_no_room_in_print_is_counted(page):
    counted = page.evaluate(
        """async () => {
            const { sheet } = await import('/panels.js');
            const service = { answer: '', without_age: '', not_whole_gain: '' };
            const words = { service, table: {}, colon: '', research: '' };
            const many = (n, one) => Array.from({ length: n }, () => one);
            const view = {
                person: {}, values: [], summary: '', remarks: many(5, { text: 'a remark', kind: 'note' }), findings: [],
                answer: { classes: many(9, { title: 'a class', score: 0.1, without_age: null }) },
            };
            return sheet(view, '', words, '', 10).map(one => one.textContent).join(' ');
        }"""
    )
    assert counted.count("a remark") == 3
    assert "+ 2" in counted
    assert counted.count("a class") == 6
    assert "+ 3" in counted


def test_what_changed_is_of_the_recording_in_hand_alone(page, samples):
    upload(page, samples, "newborn", "child", "adult")
    page.select_option("#compare", label="child")
    page.wait_for_selector("#changes table")
    page.click("#recordings button:has-text('adult')")
    assert page.locator("#changes table").count() == 0
    until(page, "document.getElementById('title').textContent.startsWith('adult')")
    assert page.locator("#changes table").count() == 0


def test_an_old_comparison_that_comes_late_changes_nothing(page, samples):
    upload(page, samples, "newborn", "child")
    held: list[Any] = []
    page.route("**/api/changes", lambda route: held.append(route) if not held else route.continue_())
    page.select_option("#compare", label="child")
    while not held:
        page.wait_for_timeout(20)
    page.fill("#age", "30yr")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#changes table')?.textContent.includes('30 yr')")
    held[0].continue_()
    page.wait_for_timeout(400)
    assert "30 yr" in page.inner_text("#changes")
    assert "3 d" not in page.inner_text("#changes thead")


def test_an_age_that_was_mistyped_is_typed_again(page, samples):
    upload(page, samples, "newborn")
    page.fill("#age", "soon")
    page.keyboard.press("Enter")
    page.wait_for_selector("#message.error")
    assert page.locator("#sheet").text_content() == ""  # the browser's own printing has nothing to print
    page.fill("#age", "8d")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('title').textContent.includes('8 d')")


def test_a_recording_beside_a_header_is_one_of_its_own(page):
    found = page.evaluate(
        """async () => {
            const { grouped } = await import('/app.js');
            return grouped(['r.hea', 'r.dat', 'other.mat'].map(name => ({ name }))).map(one => one.name);
        }"""
    )
    assert found == ["r", "other.mat"]
