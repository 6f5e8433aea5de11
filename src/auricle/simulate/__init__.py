"""Simulated twelve-lead ECGs of all ages, whose truth is known: `cohort(1000, seed=7)`.

`conditions` decides who has what; `morphology`, `pathology`, `blocks`, `myocardium` and `ectopy` shape the beats,
`rhythm` places them in time, `render` draws the trace, `noise` and `acquisition` add what happens at the electrodes and
in the cart, `reports` and `labs` write the report and the laboratory values; `cohort` puts all together.
"""

from auricle.simulate.cohort import Ages, Cohort, Truth, cohort
from auricle.simulate.conditions import codes, conditions

__all__ = ["Ages", "Cohort", "Truth", "codes", "cohort", "conditions"]
