"""A model of one's own for `auricle audit`: the weights that come along, never told an age.

auricle audit without_age:scores STORE --task ecg/findings --out without_age   (in the folder of this file)
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from auricle.predict import Predictor
from auricle.recording import Recording


@cache
def _weights() -> Predictor:
    return Predictor.from_pretrained("lisa-nano")


def scores(recording: Recording) -> dict[str, float]:
    """Scores by class, as any model of anybody's may give them: a function of a recording, whose age it may ignore.

    Raises:
        DataError: it answers nothing for this recording; the audit counts it.
    """
    return _weights()(replace(recording, age=None), ()).scores
