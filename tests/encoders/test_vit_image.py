"""vit_image: where a patch lies on the sheet counts."""

from __future__ import annotations

import torch

from auricle.config import configure
from auricle.encoders import ENCODERS, build_encoder
from auricle.encoders.vit_image import VitImage
from auricle.signal.preprocess import InputSpec


def tiny() -> VitImage:
    torch.manual_seed(0)
    encoder = build_encoder(configure(ENCODERS, {"name": "vit_image", "preset": "tiny"}), InputSpec(seconds=2.0))
    assert isinstance(encoder, VitImage)
    return encoder.eval()


@torch.no_grad()
def test_patches_in_other_places_are_another_picture() -> None:
    """Its patches change places by halves of the sheet; without positions both would be the same set of patches."""
    encoder = tiny()
    height, width = encoder.picture_size
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    for axis, half in ((1, encoder.n_down // 2), (2, encoder.n_across // 2)):
        moved = picture.roll(half * encoder.config.patch, dims=axis)
        one, other = (encoder.encode_picture(sheet).pooled for sheet in (picture, moved))
        assert not torch.allclose(one, other, atol=1e-4)
    encoder.position.zero_()
    one, other = (encoder.encode_picture(sheet).pooled for sheet in (picture, moved))
    assert torch.allclose(one, other, atol=1e-5), "and nothing else than positions tells them apart"
