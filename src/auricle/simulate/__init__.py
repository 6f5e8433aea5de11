"""Simulated twelve-lead ECGs of all ages, whose truth is known: `cohort(1000, seed=7)`.

rhythm, morphology, pathology and noise describe, render draws, reports and labs tell; cohort puts them together.
"""

from auricle.simulate.cohort import Ages, Cohort, cohort
from auricle.simulate.pathology import CODES, DEFAULT_PREVALENCE

__all__ = ["CODES", "DEFAULT_PREVALENCE", "Ages", "Cohort", "cohort"]
