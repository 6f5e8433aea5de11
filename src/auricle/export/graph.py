"""What a graph holds: preprocessing, encoder and answers of a method, with tensors alone going in and coming out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.encoders import Tokens
from auricle.errors import ConfigError
from auricle.methods import AlignsText, Answering, Classifies, Method
from auricle.predict import Predictor
from auricle.signal.preprocess import InputSpec

# Slower than a heart, and faster than any recorder.
_RATES_HZ: Final = (1.0, 100_000.0)


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor that goes into a graph or comes out of it.

    Attributes:
        name: in the graph.
        shape: a number for each axis; the first is `batch`, of any size.
        meaning: what it holds, with its unit.
        dtype: `float32` or `bool`.
    """

    name: str
    shape: tuple[str | int, ...]
    meaning: str
    dtype: str = "float32"


class Graph(nn.Module):
    """A method as a function of tensors: one window of a recording in each row, its scores and embedding out.

    Args:
        method: in evaluation mode.
        answers: says what is asked of the method; None where it answers no question, and embeds alone.
        rate_hz: of the signals that come in; by default the rate that the method reads.

    Attributes:
        n_samples: length of the window at `rate_hz`.
        inputs, outputs: in the order in which `forward` takes and gives them.

    Raises:
        ConfigError: `rate_hz` is no rate.
    """

    def __init__(self, method: Method, answers: Predictor | None, rate_hz: float | None = None) -> None:
        super().__init__()
        self.method, self.answers = method, answers
        self.spec: InputSpec = method.config.input
        self.rate_hz = self.spec.rate_hz if rate_hz is None else rate_hz
        if not _RATES_HZ[0] <= self.rate_hz <= _RATES_HZ[1]:
            raise ConfigError(f"a rate of {self.rate_hz:g} Hz: give samples per second, 1 to 100000")
        self.n_samples = round(self.spec.seconds * self.rate_hz)
        self.inputs, self.outputs = self._inputs(), self._outputs()

    def _inputs(self) -> tuple[Port, ...]:
        n_leads, codes = len(self.spec.leads), self.method.encoder.codes
        millivolts = f"millivolts at {self.rate_hz:g} Hz; NaN, or anything under a false mask, where none was recorded"
        inputs = [
            Port("signal", ("batch", n_leads, self.n_samples), millivolts),
            Port("lead_mask", ("batch", n_leads), "true where the lead was recorded", "bool"),
            Port("time_mask", ("batch", self.n_samples), "true inside the recording, false in its padding", "bool"),
        ]
        if self.method.reads_age or "labs" in codes or (self.answers is not None and self.answers.sees_age):
            inputs.append(Port("age_days", ("batch",), "age in days, with fractions; NaN where it is unknown"))
        if "labs" in codes:
            tests = self.method.config.labs.tests
            inputs.append(Port("male", ("batch",), "1 male, 0 female, NaN unknown"))
            inputs.append(Port("labs", ("batch", len(tests)), f"{', '.join(tests)}; NaN where unknown"))
        return tuple(inputs)

    def _outputs(self) -> tuple[Port, ...]:
        outputs, groups = [], self.method.encoder.group_names
        if self.answers is not None:
            by_class = ("batch", len(self.answers.classes))
            if self.answers.kind == "similarity":
                outputs.append(
                    Port("similarities", by_class, "with the sentences of each class; compare within a class")
                )
            else:
                outputs.append(Port("probabilities", by_class, "by class, calibrated where the weights are"))
            if self._has_logits:
                outputs.append(Port("logits", by_class, "of the probabilities: what is averaged over windows"))
        outputs.append(Port("embedding", ("batch", self.method.encoder.width), "the window as the encoder sees it"))
        if groups:
            share = "share of each lead group in the embedding, summing to 1"
            outputs.append(Port("group_contributions", ("batch", len(groups)), share))
        return tuple(outputs)

    @property
    def _has_logits(self) -> bool:
        return self.answers is not None and self.answers.kind == "probability" and isinstance(self.method, Answering)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Tensors of `outputs` from tensors of `inputs`."""
        batch = self._batch(*given)
        tokens = self.method.encoder.read(self.method.preprocess(batch))
        found = {"embedding": tokens.pooled, **self._scores(tokens, batch.age_days)}
        if tokens.group_contribution is not None:
            found["group_contributions"] = tokens.group_contribution
        return tuple(found[port.name] for port in self.outputs)

    def _batch(
        self,
        signal: Tensor,
        lead_mask: Tensor,
        time_mask: Tensor,
        age_days: Tensor | None = None,
        male: Tensor | None = None,
        labs: Tensor | None = None,
    ) -> ECGBatch:
        unknown = torch.full_like(signal[:, 0, 0], torch.nan)
        return ECGBatch(
            signal=signal,
            lead_mask=lead_mask,
            time_mask=time_mask,
            leads=self.spec.leads,
            rate_hz=self.rate_hz,
            age_days=unknown if age_days is None else age_days,
            male=unknown if male is None else male,
            patient_id=torch.zeros_like(lead_mask[:, 0], dtype=torch.long),
            record_id=(),  # names are no tensors; nothing in a graph asks for them
            labs=labs,
            labs_mask=None if labs is None else ~torch.isnan(labs),
        )

    def _scores(self, tokens: Tokens, age_days: Tensor) -> dict[str, Tensor]:
        method = self.method
        if self.answers is None:
            return {}
        if self.answers.kind == "similarity":
            assert isinstance(method, AlignsText)
            return {"similarities": method.compare(tokens, self.answers.task)}
        assert isinstance(method, Classifies)
        logits = method.classify(tokens)
        probabilities = {"probabilities": method.probabilities(logits, age_days)}
        return probabilities | (
            {"logits": method.calibrated(logits, age_days)} if isinstance(method, Answering) else {}
        )

    def tensors(self, batch: ECGBatch) -> tuple[Tensor, ...]:
        """The inputs that a batch of windows at `rate_hz` holds, for `forward`."""
        panel = self.method.config.labs if "labs" in self.method.encoder.codes else None
        held = tensors_of(batch, 0 if panel is None else len(panel.tests))
        return tuple(held[port.name] for port in self.inputs)

    @property
    def is_one_of_all(self) -> bool:
        """Whether one class of all is asked, with probabilities that are the softmax of the logits."""
        return getattr(self.method.config, "answers", "") == "single_label"

    def feed(self, tensors: tuple[Tensor, ...]) -> dict[str, NDArray[np.generic]]:
        """Inputs by name as arrays, for a session of onnxruntime."""
        return {port.name: tensor.numpy() for port, tensor in zip(self.inputs, tensors, strict=True)}


def tensors_of(batch: ECGBatch, n_labs: int) -> dict[str, Tensor]:
    """All that a graph may take of a batch of windows, by the names of its inputs.

    Args:
        batch: at the rate of the graph.
        n_labs: laboratory values that it takes; unknown where the batch has none.
    """
    labs = torch.full((len(batch), n_labs), torch.nan) if batch.labs is None else batch.labs
    if batch.labs is not None and batch.labs_mask is not None:
        labs = torch.where(batch.labs_mask, labs, torch.nan)
    return {
        "signal": batch.millivolts(), "lead_mask": batch.lead_mask, "time_mask": batch.time_mask,
        "age_days": batch.age_days.float(), "male": batch.male.float(), "labs": labs,
    }  # fmt: skip
