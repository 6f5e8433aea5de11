"""What weights answer about one recording, as data: for a page, JSON, or a line of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from auricle.disclaimer import RESEARCH_USE
from auricle.over_age import Answer

# On whom a class was tested, as answers say it.
Tested = Literal["real_adults", "real_children", "simulated"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the weights say about one recording.

    Attributes:
        record_id: which recording.
        kind: `probability` (fine-tuned classes) or `similarity` (zero-shot: cosines or differences of two, comparable
            within a class only).
        scores: by class.
        sets: by class, what may be said of it at this age, so that of the people of an age `coverage` are told what is
            so: "yes", "no" or "either"; empty where no sets were fitted.
        coverage: the share that sets promise, of those with a class and of those without it; None without sets, and of
            a recording that lacks leads the weights read or whose cart let nothing above 30 Hz through: where no lead
            shows a class it is then "either" and not "no", and without fast waves every class is.
        group_contributions: share of each lead group in the representation, summing to 1; empty without groups.
        age_days: the age of the recording, None for unknown; whether it plays a part is said by `scores_without_age`.
        tested: by class, on whom its score was tested, as far as the weights say it; empty for a class nobody tested.
        scores_without_age: the answer had the age been unknown; None where age plays no part.
        age_effect: (age in days, scores by class) of the same trace asked at other ages; empty where age plays no part.
        leads_read: leads that were present and read.
        leads_missing: leads the weights read and this recording lacks.
        n_windows: how many windows were averaged.
        notes: what a reader should know: unknown age, absent leads, short record, laboratory values that are absent or
            unusual for the age.
        quality: `acceptable`, and the `reasons` why the trace is not; only the trace counts, not its rhythm.
        model: what is known about the weights: method, version, number of parameters.
        disclaimer: that this is for research use.
    """

    record_id: str
    kind: str
    scores: dict[str, float]
    sets: dict[str, Answer]
    coverage: float | None
    tested: dict[str, tuple[Tested, ...]]
    group_contributions: dict[str, float]
    age_days: float | None
    scores_without_age: dict[str, float] | None
    age_effect: tuple[tuple[float, dict[str, float]], ...]
    leads_read: tuple[str, ...]
    leads_missing: tuple[str, ...]
    n_windows: int
    notes: tuple[str, ...]
    quality: dict[str, Any]
    model: dict[str, Any]
    disclaimer: str = RESEARCH_USE

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data for JSON."""
        plain = asdict(self)
        plain["age_effect"] = [{"age_days": days, "scores": scores} for days, scores in self.age_effect]
        return plain


def to_row(plain: Mapping[str, Any]) -> dict[str, str | float | int | bool | None]:
    """What `Prediction.to_dict` gives, as one line of a table: a missing number is None, texts are separated by `; `.

    `score_CLASS` is the score of a class, `set_CLASS` what may be said of it at this age, `without_age_CLASS` the score
    it had been without the age.
    """
    row: dict[str, Any] = {
        "kind": plain["kind"],
        "age_days": plain["age_days"],
        "acceptable": plain["quality"]["acceptable"],
        "quality_reasons": "; ".join(plain["quality"]["reasons"]),
        "notes": "; ".join(plain["notes"]),
        "leads_missing": "; ".join(plain["leads_missing"]),
        "n_windows": plain["n_windows"],
    }
    row |= {f"score_{name}": score for name, score in plain["scores"].items()}
    row |= {f"set_{name}": answer for name, answer in plain["sets"].items()}
    return row | {f"without_age_{name}": score for name, score in (plain["scores_without_age"] or {}).items()}
