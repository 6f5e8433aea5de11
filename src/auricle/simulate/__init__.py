"""Simulated twelve-lead ECGs of all ages, whose truth is known: `cohort(1000, seed=7)`.

`conditions` says what a heart can have and who has it; morphology, pathology, blocks, myocardium and ectopy shape its
beats, rhythm times them, render draws, noise and acquisition spoil, reports and labs tell; cohort puts them together.
"""

from auricle.simulate.cohort import Ages, Cohort, Truth, cohort
from auricle.simulate.conditions import codes, conditions

__all__ = ["Ages", "Cohort", "Truth", "codes", "cohort", "conditions"]
