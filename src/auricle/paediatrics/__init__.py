"""Normal limits of the ECG by age: continuous centiles from birth to adulthood (`limits.limits("qrs", 400)`)."""

from auricle.paediatrics import limits
from auricle.paediatrics.limits import Centiles, centiles, median, parameters, quantile, z_score

__all__ = ["Centiles", "centiles", "limits", "median", "parameters", "quantile", "z_score"]
