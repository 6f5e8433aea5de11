"""Which leads show a class: what no recorded lead shows cannot be denied, and a trace not be called normal without it.

Source: Surawicz et al. 2009 and Hancock et al. 2009 (AHA/ACCF/HRS recommendations, parts III and V: conduction and
hypertrophy by chest leads), Thygesen et al. 2018 (fourth universal definition of infarction: territories). Measured too
(docs/weights.md): with the six limb leads an anterior infarction was denied to 20 of 35 people who had one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from auricle.age import ADULT_DAYS
from auricle.over_age import Answer, AnswerSets
from auricle.recording import Recording

Places = tuple[tuple[str, ...], ...]

NORMAL: Final = "NORM"
# Where nothing faster was recorded there is no answer (benchmarks/slow_sampling.py). At 40 and 30 samples a second 89
# and 74 % of adults of PTB-XL with a class are told so, not 90 (93 % from 50 on). Of 202 simulated children under six
# that are normal 38 have a conduction disturbance of .5 or more at 62.5 a second, 4 at 70 and none from 80 on.
_LEAST_HZ, _LEAST_HZ_OF_A_CHILD = 30.0, 40.0
_SEPTAL, _ANTERIOR, _LEFT = ("V1", "V2"), ("V3", "V4"), ("V5", "V6")
_HIGH_LATERAL, _INFERIOR = ("I", "aVL"), ("II", "III", "aVF")
_EVERYWHERE: Final[Places] = (_SEPTAL, _ANTERIOR, (*_HIGH_LATERAL, *_LEFT), _INFERIOR)
# By class of `ecg/findings`, walls of the heart; a lead of each of them must be there before the class is denied. Not
# here is what every lead shows, if any does: rhythms, conduction from atria to ventricles, QT, the width of QRS, P
# waves and low voltage; and where the heart lies.
_PLACES: Final[Mapping[str, Places]] = {
    "RVH": (("V1",),), "CRBBB": (("V1",),), "IRBBB": (("V1",),), "BRUG": (_SEPTAL,), "LVH": (_SEPTAL, _LEFT),
    "LAFB": (_HIGH_LATERAL, _INFERIOR), "LPFB": (_HIGH_LATERAL, _INFERIOR),
    "CLBBB": (_SEPTAL, ("I", *_LEFT)), "ILBBB": (_SEPTAL, ("I", *_LEFT)), "AMI": (_SEPTAL, _ANTERIOR),
    "IMI": (_INFERIOR,), "LMI": (_HIGH_LATERAL, _LEFT), "PMI": (_SEPTAL,),
    **dict.fromkeys(
        (
            "MI", "STTC", "CD", "HYP", "STE_", "STD_", "ISC_", "NDT", "INVT", "EREPOL", "PERI", "HYPERK", "ASD", "AVSD",
            "TA", "TOFPO", "EBST", "SV", "HCM", "ALCAPA", "RVPH",
        ),
        _EVERYWHERE,
    ),
}  # fmt: skip
# What the same classes are called in the other tasks that come along, in small letters.
_ALSO: Final[Mapping[str, str]] = {
    "normal": NORMAL, "otherwise normal": NORMAL, "rbbb": "CRBBB", "right bundle branch block": "CRBBB",
    "incomplete right bundle branch block": "IRBBB", "lbbb": "CLBBB", "left bundle branch block": "CLBBB",
    "left anterior fascicular block": "LAFB", "lanfb": "LAFB", "lafb/lpfb": "LAFB",
    "left ventricular hypertrophy": "LVH", "left ventricular high voltage": "LVH", "sehyp": "LVH", "vclvh": "LVH",
    "right ventricular hypertrophy": "RVH", "right ventricular high voltage": "RVH", "isci": "IMI",
    **dict.fromkeys(
        (
            "ste", "std", "stdd", "sttu", "isc", "isca", "nst", "nt", "tab", "tinv", "twc", "two", "lowt", "qab", "aqw",
            "qwave", "t wave abnormality", "st deviation", "st deviation with t wave change",
        ),
        "STTC",
    ),
}  # fmt: skip


def too_slow(recording: Recording, highest_hz: float) -> str:
    """Why a recording was sampled too slowly for the waves of its age; empty where it was not.

    Args:
        recording: as it was read; of unknown age it is taken for a child's.
        highest_hz: the highest frequency that the weights read.
    """
    is_adult = recording.age is not None and recording.age.best_days >= ADULT_DAYS
    least_hz = min(_LEAST_HZ if is_adult else _LEAST_HZ_OF_A_CHILD, highest_hz)
    if not recording.leads or recording.original_hz / 2 >= least_hz:
        return ""
    whose = "" if is_adult else "of unknown age " if recording.age is None else "of a child "
    return (
        f"sampled {recording.original_hz:.3g} times a second, and a trace {whose}needs {2 * least_hz:g}: export it at "
        "the rate it was recorded at"
    )


def left_open(answers: Mapping[str, Answer], present: Collection[str]) -> tuple[str, ...]:
    """The classes whose answer rests on leads that are not there: denied, or the trace called normal, without them.

    Args:
        answers: by class.
        present: leads that were there and read; none where only a picture was.
    """
    return tuple(name for name, answer in answers.items() if present and rests_on_absent(name, answer, present))


def rests_on_absent(name: str, answer: Answer, present: Collection[str]) -> bool:
    """Whether an answer to a class rests on leads that are not among those `present`.

    A class is known by its name, here or in a task that comes along; one of a user's own of such a name is taken to be
    the same, and of any other name nothing is said.
    """
    known = _ALSO.get(name.casefold(), name)
    places = {"no": _PLACES.get(known, ()), "yes": _EVERYWHERE if known == NORMAL else ()}.get(answer, ())
    return any(set(place).isdisjoint(present) for place in places)


@dataclass(frozen=True, slots=True)
class Said:
    """What may be said of the classes of one recording.

    Attributes:
        answers: by class.
        coverage: what they promise; None where the recording lacks what the promise rests on.
        notes: what is left open for what was not recorded, in a sentence.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    coverage: float | None = None
    notes: tuple[str, ...] = ()


NO_SETS: Final = Said()


def sets_said(
    sets: AnswerSets,
    recording: Recording,
    scores: Mapping[str, float],
    age_days: float | None,
    present: Collection[str],
    missing: Collection[str],
) -> Said:
    """The sets of one recording, as far as what was recorded of it carries them.

    Args:
        sets: of the weights.
        recording: as it was read.
        scores: probabilities by class.
        age_days: the age by which sets are asked; None for unknown.
        present: leads that were there and read.
        missing: leads that the weights read and that were not there.
    """
    answers = sets.answers(scores, age_days)
    if recording.leads and recording.cart_band_hz is not None and recording.cart_band_hz[1] < _LEAST_HZ:
        slow = f"every class is left open: nothing above {recording.cart_band_hz[1]:.3g} Hz was recorded"
        return Said(dict.fromkeys(answers, "either"), notes=(slow,))
    if not missing:  # of weights that read few leads, too, whose sets were fitted to those
        return Said(answers, sets.coverage)
    unseen = left_open(answers, present)
    notes = (f"left open, because leads that show it are missing: {', '.join(unseen)}",) if unseen else ()
    return Said({**answers, **dict.fromkeys(unseen, "either")}, notes=notes)
