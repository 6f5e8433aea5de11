"""An audit as a command line and a notebook ask for it: thresholds of one half of the people, rates of the other."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.age_axis import known_ages
from auricle.audit.report import Audit
from auricle.audit.scores import Scored
from auricle.errors import ConfigError, DataError
from auricle.evaluate.by_age import MARGIN, N_BOOTSTRAP, by_age
from auricle.evaluate.conformal import sets_of
from auricle.evaluate.ranking import SPECIFICITY, Values
from auricle.evaluate.thresholds import halves_of_people, thresholds_at
from auricle.over_age import AnswerSets


def check_levels(threshold: float | None, specificity: float) -> None:
    """Refuse a threshold or specificity that is none, before anything is asked.

    Raises:
        ConfigError: it is.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold {threshold:g}: give a score between 0 and 1")
    if not 0 < specificity < 1:
        raise ConfigError(f"--specificity {specificity:g}: give a share between 0 and 1, such as 0.9")


def audit_scores(
    scored: Scored,
    *,
    threshold: float | None = None,
    specificity: float = SPECIFICITY,
    sets: AnswerSets | None = None,
    margin: float = MARGIN,
    n_bootstrap: int = N_BOOTSTRAP,
    learned_from: Sequence[str] = (),
) -> Audit:
    """What a table of scores says of its model over age.

    Args:
        scored: the table.
        threshold: from which every class is called, of all records; None chooses one for each class on half of the
            patients and reports the other half.
        specificity: of the thresholds that are chosen.
        sets: of answers, those of the model; None fits some on the half that chooses thresholds, where one does and the
            scores are probabilities.
        margin: beyond which a rate is held against the model.
        n_bootstrap: replicates of the intervals.
        learned_from: data sets that the model was trained on, as far as they are known.

    Raises:
        ConfigError: no threshold or specificity.
        DataError: no record has an age, or none an age and a label, or all are of one half of the patients.
    """
    check_levels(threshold, specificity)
    if not known_ages(scored.predictions.age_days).any():
        raise DataError("no record has an age, over which a model is audited: give ages (a manifest's column `age`)")
    whose = "" if sets is None else "those of the model"
    meta = scored.predictions.meta
    if threshold is None:
        chosen_on, reported = halves_of_people(scored.predictions)
        if not len(chosen_on) or not len(reported):
            raise DataError("all records are of one half of the patients: give --threshold, or more people")
        thresholds: Values | float = thresholds_at(chosen_on, specificity)
        share = f"{100 * (1 - specificity):.0f} %"
        words = f"those that leave {share} false positives over all ages, chosen on other people"
        if sets is None and meta.scores_are_probabilities:
            sets, whose = sets_of(chosen_on), "fitted on the same other people, by age"
    else:
        reported, thresholds, words = scored.predictions, threshold, f"{threshold:g} for every class"
    found = by_age(reported, thresholds, sets=sets, margin=margin, n_bootstrap=n_bootstrap)
    notes = []
    named = {source.partition("/")[0] for source in scored.sources}
    trained = [one for one in learned_from if one.partition("/")[0] in named]
    if trained:
        notes.append(f"The weights were trained on {', '.join(trained)}: make sure that these records were not seen.")
    if not meta.scores_are_probabilities:
        notes.append("These scores are no probabilities: their calibration was not asked.")
    return Audit(meta.method, meta.task, found, scored, words, whose, margin, n_bootstrap, tuple(notes))
