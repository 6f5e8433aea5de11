"""Sentences of a report and moments of a recording: each sentence looks for its moments, in its recording and others.

Source: Huang et al. 2021 (GLoRIA), section 3.3, with sentences in place of words; for electrocardiograms Wang et al.
2025 (MELP).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.losses.contrastive import weighted_info_nce
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world


def sentence_likeness(
    moments: Float[Tensor, "b m d"],
    sentences: Float[Tensor, "r s d"],
    there: Bool[Tensor, "r s"],
    attention: float,
    sharpness: float,
) -> Float[Tensor, "b r"]:
    """(b, r) how much a recording shows what the sentences of a report say.

    Of each sentence the moments are weighed by a softmax of their cosines, and the cosine of what comes of it with the
    sentence is taken; of the sentences of a report the logarithm of the mean of the exponentials, so that a report is
    not more like everything for being longer (the source takes the sum).

    Args:
        moments: of recordings.
        sentences: of reports.
        there: which sentences there are.
        attention: one over the temperature of the softmax.
        sharpness: one over that of the mean.
    """
    one, other = F.normalize(moments, dim=-1), F.normalize(sentences, dim=-1)
    weight = (attention * torch.einsum("bmd,rsd->brsm", one, other)).softmax(-1)
    seen = F.normalize(torch.einsum("brsm,bmd->brsd", weight, moments), dim=-1)
    cosine = torch.einsum("brsd,rsd->brs", seen, other)
    logits = (sharpness * cosine).masked_fill(~there, -torch.inf)
    mean = logits.logsumexp(-1) - there.sum(-1).clamp_min(1).log()
    return torch.where(there.any(-1), mean, 0.0)


def local_info_nce(
    moments: Float[Tensor, "b m d"],
    sentences: Float[Tensor, "b s d"],
    there: Bool[Tensor, "b s"],
    attention: float = 4.0,
    sharpness: float = 5.0,
    scale: float = 10.0,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of recordings and reports by `sentence_likeness`; a report without a sentence does not count.

    Args:
        moments: of the recordings of this process.
        sentences: of their reports; those of all processes are compared.
        there: which sentences there are.
        attention, sharpness: as in `sentence_likeness`.
        scale: one over the temperature of the contrast.
    """
    paired = there.any(1)
    known = gather_without_gradient(paired)
    positive = positive_columns(len(moments), world()[0], moments.device)
    everybody = gather(moments), gather(sentences), gather_without_gradient(there)
    by_recording = sentence_likeness(moments, *everybody[1:], attention, sharpness)
    by_report = sentence_likeness(everybody[0], sentences, there, attention, sharpness).T
    weight = known.float().expand(len(moments), -1)
    means = []
    for likeness in (by_recording, by_report):
        losses, active = weighted_info_nce(scale * likeness, positive, weight)
        means.append(mean_over_active(losses, active & paired))
    return (means[0] + means[1]) / 2
