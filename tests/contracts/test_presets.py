"""Presets of the baselines: as large as their pages say, and all parts of the encoder learn from a step."""

from __future__ import annotations

import pytest
import torch

from auricle.methods import Progress, create_method
from conftest import make_batch

# Weights of the encoder in millions. Of four seconds at 100 Hz, because the largest have ninety million weights; `cpc`
# at its own rate, of which its steps are made.
OWN_RATE = {"input": {"seconds": 4}}
SHORT = {"input": {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}}
BACKBONE = 3.85
SIZES = {
    **{
        (name, preset): BACKBONE
        for name in (
            "simclr", "byol", "simsiam", "barlow_twins", "moco_v3", "clocs", "ts_tcc", "timesurl", "astcl", "simmtm",
        )
        for preset in ("shared", "paper")
    },
    ("acl_ecg", "paper"): 6.20,
    ("tf_c", "shared"): 3.81, ("tf_c", "paper"): 3.81,
    ("cpc", "nano"): 0.42, ("cpc", "nano_gru"): 0.54, ("cpc", "shared"): 3.82, ("cpc", "paper"): 3.80,
    ("st_mem", "shared"): 2.75, ("st_mem", "paper"): 86.27,
    ("jepa", "shared"): 2.75, ("jepa", "paper"): 86.26,
    ("wcr", "shared"): 3.36, ("wcr", "paper"): 85.39,
    ("melp", "shared"): 3.36, ("melp", "paper"): 57.04,
    ("crt", "shared"): 2.86, ("crt", "paper"): 1.32,
    ("timemae", "shared"): 2.69, ("timemae", "paper"): 0.41,
    ("patchtst", "shared"): 0.60, ("patchtst", "paper"): 0.40,
    ("vq_hbr", "shared"): 2.69, ("vq_hbr", "paper"): 85.14,
    ("heartlang", "shared"): 2.69, ("heartlang", "paper"): 85.14,
}  # fmt: skip


@pytest.mark.parametrize(("name", "preset"), SIZES)
def test_a_preset_is_as_large_as_it_says_and_learns(name: str, preset: str) -> None:
    torch.manual_seed(0)
    method = create_method(name, preset, **(OWN_RATE if name == "cpc" else SHORT)).train()
    weights = [parameter for parameter in method.encoder.parameters() if parameter.requires_grad]
    assert sum(map(torch.numel, weights)) / 1e6 == pytest.approx(SIZES[name, preset], abs=0.006)
    spec = method.config.input
    # Of the published sizes no gradient is asked: their parts are those of the small ones, and take a second each.
    is_large = preset == "paper"
    with torch.set_grad_enabled(not is_large):
        result = method.step(make_batch(2, spec.seconds, spec.rate_hz), Progress(0, 1))
    if is_large:
        assert torch.isfinite(result.loss)
        return
    result.loss.backward()
    assert torch.isfinite(result.loss)
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in weights if weight.grad is not None)
    for part, module in method.encoder.named_children():
        own = [weight for weight in module.parameters() if weight.requires_grad]
        learns = any(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in own)
        assert learns or not own, part
