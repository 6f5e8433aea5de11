"""Encoders: from a masked multi-lead signal to tokens. One file each; `auricle list encoders` names them."""

from __future__ import annotations

from typing import Any

from auricle.encoders._base import Encoder, EncoderModule, Tokens, visible
from auricle.registry import Registry
from auricle.signal.preprocess import InputSpec

ENCODERS = Registry("encoder", "auricle.encoders")


def build_encoder(config: Any, spec: InputSpec) -> EncoderModule:
    """The encoder a configuration describes, for signals as `spec` says."""
    encoder: EncoderModule = ENCODERS.get(config.name).cls(config, spec)
    return encoder


__all__ = ["ENCODERS", "Encoder", "EncoderModule", "Tokens", "build_encoder", "visible"]
