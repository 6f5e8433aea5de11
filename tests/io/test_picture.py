"""Pictures from files: what they look like once read, what is refused, and that damage is never more than a refusal."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import auricle
from auricle.errors import DataError, ReadError
from auricle.image.fit import fit_picture
from auricle.image.raster import RasterConfig, raster
from auricle.io.picture import read_picture
from auricle.simulate import cohort
from fuzz import mutate

INK, PINK, RED, BLUE = (20, 20, 24), (250, 190, 190), (220, 60, 60), (20, 30, 160)


def trace(height: int = 90, width: int = 120) -> np.ndarray:
    """Grey paper with a dark zigzag and a few grey dots."""
    page = np.full((height, width), 255, np.uint8)
    columns = np.arange(width)
    page[height // 2 + np.abs(columns % 20 - 10), columns] = 10
    page[5, ::7] = 120
    return page


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "gif"])
def test_grey_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    page = trace()
    read = read_picture(save(tmp_path / f"a.{suffix}", Image.fromarray(page)))
    assert read.dtype == np.uint8
    assert np.array_equal(read, page)
    renamed = (tmp_path / f"a.{suffix}").rename(tmp_path / "a.dat")
    assert np.array_equal(read_picture(renamed), page), "by content, not by suffix"


def test_a_jpeg_is_nearly_the_same(tmp_path: Path) -> None:
    read = read_picture(save(tmp_path / "a.jpg", Image.fromarray(trace()), quality=95))
    assert np.abs(read.astype(int) - trace()).mean() < 3


def test_the_grid_is_lighter_than_ink_of_any_colour(tmp_path: Path) -> None:
    page = np.full((80, 80, 3), 255, np.uint8)
    for row, colour in zip((10, 20, 30, 40), (INK, PINK, RED, BLUE), strict=True):
        page[row] = colour
    read = read_picture(save(tmp_path / "a.png", Image.fromarray(page)))
    ink, pink, red, blue = (int(read[row, 0]) for row in (10, 20, 30, 40))
    assert read[0, 0] == 255
    assert pink > 215
    assert red > 130
    assert ink < 30
    assert blue < 60
    luminance = 0.299 * RED[0] + 0.587 * RED[1] + 0.114 * RED[2]
    assert red > luminance + 40


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    page = np.zeros((80, 90, 4), np.uint8)  # black everywhere, and nowhere visible
    page[40, :, 3] = 255
    page[50, :, 3] = 128
    for name, image in (
        ("rgba", Image.fromarray(page)),
        ("la", Image.fromarray(page).convert("LA")),
        ("half", Image.fromarray(page)),
    ):
        read = read_picture(save(tmp_path / f"{name}.png", image))
        assert read[0, 0] == 255
        assert read[40, 3] == 0
        assert read[50, 3] == 127
    paletted = Image.fromarray(trace()).convert("P")
    read = read_picture(save(tmp_path / "p.png", paletted, transparency=10))
    assert (read[trace() == 10] == 255).all()
    grey = save(tmp_path / "l.png", Image.fromarray(trace()), transparency=10)
    assert (read_picture(grey)[trace() == 10] == 255).all()


def test_palette_one_bit_and_sixteen_bits(tmp_path: Path) -> None:
    page = trace()
    palette = Image.fromarray(page).convert("RGB").quantize(16)
    assert np.abs(read_picture(save(tmp_path / "p.png", palette)).astype(int) - page).max() <= 2
    bit = read_picture(save(tmp_path / "b.png", Image.fromarray(page > 60)))
    assert np.array_equal(bit, np.where(page > 60, 255, 0))
    deep = page.astype(np.uint16) * 257
    for suffix in ("png", "tiff"):
        assert np.array_equal(read_picture(save(tmp_path / f"d.{suffix}", Image.fromarray(deep))), page)
    negative = save(tmp_path / "n.tiff", Image.fromarray(65535 - deep), tiffinfo={262: 0})
    assert np.array_equal(read_picture(negative), page), "in this file 0 is white"


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_white_of_fewer_bits_in_sixteen_is_white(tmp_path: Path, bits: int) -> None:
    deep = np.rint(trace() / 255 * (2**bits - 1)).astype(np.uint16)
    for name, image, options in (
        ("a.png", Image.fromarray(deep), {}),
        ("n.tiff", Image.fromarray((2**bits - 1 - deep).astype(np.uint16)), {"tiffinfo": {262: 0}}),
    ):
        with pytest.warns(UserWarning, match=f"{name}: .* that of {bits} bits"):
            read = read_picture(save(tmp_path / name, image, **options))
        assert np.abs(read.astype(int) - trace()).max() <= 1


def test_light_on_dark_is_turned_into_ink_on_paper(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(255 - trace()))
    with pytest.warns(UserWarning, match=r"a\.png: the picture is light on a dark ground"):
        assert np.array_equal(read_picture(path), trace())
    with pytest.warns(UserWarning, match="dark ground"):
        recording = auricle.read(path)
    assert len(recording.notes) == 1
    photograph = trace()
    photograph[:, :70] = 30  # a dark table beside the paper
    assert np.array_equal(read_picture(save(tmp_path / "b.png", Image.fromarray(photograph))), photograph)


def test_the_photograph_of_a_telephone_is_its_first_picture(tmp_path: Path) -> None:
    page = Image.fromarray(trace()).convert("RGB")
    path = save(
        tmp_path / "a.jpg", page, format="MPO", save_all=True, append_images=[page.resize((64, 64))], quality=95
    )
    assert np.abs(read_picture(path).astype(int) - trace()).mean() < 3


@pytest.mark.parametrize(
    ("name", "kind"), [("a.pdf", "a PDF document"), ("a.webp", "a WebP picture"), ("a.jp2", "a JPEG 2000 picture")]
)
def test_pictures_of_other_kinds_are_called_by_name(tmp_path: Path, name: str, kind: str) -> None:
    path = save(tmp_path / name, Image.fromarray(trace()).convert("RGB")).rename(tmp_path / "renamed.png")
    for reader in (read_picture, auricle.read):
        with pytest.raises(ReadError, match=f"renamed.png: is {kind}, which is not read; save .* as PNG"):
            reader(path)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_picture(save(tmp_path / "a.png", Image.fromarray(trace()), exif=exif))
    assert np.array_equal(read, np.rot90(trace(), -1))


def refusals() -> dict[str, Callable[[Path], object]]:
    page = Image.fromarray(trace())
    noise = np.random.default_rng(0).integers(240, 256, (80, 80), dtype=np.uint8)
    frames = [page, Image.fromarray(trace()[::-1].copy())]
    return {
        "at least 64": lambda path: page.crop((0, 0, 63, 90)).save(path, "PNG"),
        "one colour": lambda path: Image.new("L", (80, 80), 255).save(path, "PNG"),
        "of one colour, no trace": lambda path: Image.fromarray(noise).save(path, "PNG"),
        "several pages": lambda path: frames[0].save(path, "TIFF", save_all=True, append_images=frames[1:]),
        "several pages or frames": lambda path: frames[0].save(path, "GIF", save_all=True, append_images=frames[1:]),
        "pages or frames": lambda path: frames[0].save(path, "PNG", save_all=True, append_images=frames[1:]),
        "CMYK": lambda path: page.convert("CMYK").save(path, "JPEG"),
        "kind F": lambda path: page.convert("F").save(path, "TIFF"),
        "no picture that auricle reads": lambda path: path.write_text("file,age\n"),
        "save it as PNG": lambda path: page.save(path, "PPM"),
        "no such file": lambda path: None,
        "is a folder": lambda path: path.mkdir(),
    }


@pytest.mark.parametrize("reason", refusals())
def test_what_is_no_picture_of_an_ecg_is_refused_in_one_line(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "page.x"
    refusals()[reason](path)
    with pytest.raises(ReadError, match=reason) as raised:
        read_picture(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(trace()))
    for most in (trace().size - 1, trace().size // 3):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(ReadError, match="million pixels"):
            read_picture(path)


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    page = trace()
    page[60:80] = np.random.default_rng(1).integers(0, 255, (20, 120), dtype=np.uint8)
    pictures = {"TIFF 16": Image.fromarray(page.astype(np.uint16) * 16), "MPO": Image.fromarray(page).convert("RGB")}
    picture = pictures.get(form, Image.fromarray(page).convert("RGB"))
    more = {"save_all": True, "append_images": [picture]} if form == "MPO" else {}
    picture.save(buffer, form.split()[0], **more)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF", "TIFF"])
def test_a_truncated_file_is_refused(tmp_path: Path, form: str) -> None:
    content = encoded(form)
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "a").write_bytes(content[: int(share * len(content))])
        with pytest.raises(ReadError, match=r"truncated|no picture"):
            read_picture(tmp_path / "a")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "TIFF 16", "MPO"])
def test_any_bytes_are_read_or_refused(tmp_path: Path, form: str) -> None:
    content, read = encoded(form), 0
    for number in range(150):
        (tmp_path / "a").write_bytes(mutate(content, random.Random(number)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some changes make it dark
                picture = read_picture(tmp_path / "a")
        except DataError:
            continue
        else:
            read += 1
            assert picture.ndim == 2
            assert picture.dtype == np.uint8
    assert read < 150, "some of the changes did harm"


def test_fitting_keeps_proportions_and_lies_in_the_middle_of_white() -> None:
    black = np.zeros((100, 200), np.uint8)
    fitted = fit_picture(black, 100, 100)
    assert (fitted[25:75] == 0).all()
    assert (fitted[:25] == 255).all()
    assert (fitted[75:] == 255).all()
    assert (fit_picture(black, 400, 400)[100:300] == 0).all(), "larger as well"
    page = trace()
    assert np.array_equal(fit_picture(page, *page.shape), page)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 60))
def test_fitting_is_a_mean_over_area(height: int, width: int, new_height: int, new_width: int) -> None:
    page = np.random.default_rng(height).integers(0, 256, (height, width), dtype=np.uint8)
    fitted = fit_picture(page, new_height, new_width)
    assert fitted.shape == (new_height, new_width)
    scale = min(new_height / height, new_width / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (new_height - inner[0]) // 2, (new_width - inner[1]) // 2
    inside = fitted[top : top + inner[0], left : left + inner[1]].astype(float)
    assert abs(inside.mean() - page.mean()) < 0.6
    assert fitted.astype(int).sum() - inside.sum() == 255 * (fitted.size - inside.size)


def test_a_thin_line_does_not_break() -> None:
    page = np.full((1000, 1000), 255, np.uint8)
    page[np.arange(1000), np.arange(1000)] = 0
    diagonal = np.diagonal(fit_picture(page, 100, 100))
    assert (diagonal < 255).all()
    assert np.ptp(diagonal.astype(int)) <= 1


@pytest.mark.parametrize(
    ("picture", "height"), [(np.zeros((9, 9), np.float32), 9), (np.zeros((9, 9, 3), np.uint8), 9), (trace(), 0)]
)
def test_fitting_refuses_what_is_no_plane_and_no_size(picture: np.ndarray, height: int) -> None:
    with pytest.raises(DataError, match=r"read_picture|positive size"):
        fit_picture(picture, height, 9)


def test_a_drawn_record_comes_back_from_its_file(tmp_path: Path) -> None:
    recording = next(iter(cohort(1, 5, rate_hz=500).recordings()))
    signal = torch.from_numpy(recording.signal)[None]
    masks = torch.ones(1, signal.shape[1], dtype=torch.bool), torch.ones(1, signal.shape[2], dtype=torch.bool)
    large, small = (
        raster(signal, *masks, 500.0, recording.leads, RasterConfig(height=side, width=side, line_px=line), 10.0)[0]
        for side, line in ((896, 4.0), (224, 1.0))
    )
    greys = (255 * large).round().to(torch.uint8).numpy()
    read = read_picture(save(tmp_path / "a.png", Image.fromarray(greys)))
    assert np.array_equal(read, greys)
    fitted = torch.from_numpy(fit_picture(read, 224, 224)).float() / 255
    assert torch.corrcoef(torch.stack([1 - fitted.ravel(), 1 - small.ravel()]))[0, 1] > 0.9
    assert (fitted - small).abs().mean() < 0.05
    ink, paper = (1 - small) > 0.9, small > 0.999
    assert fitted[ink].mean() < 0.5
    assert fitted[paper].mean() > 0.95
