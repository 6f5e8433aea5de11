"""What the card that lies with weights says of them: what they were trained on, of which ages, how they were tested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from auricle.age import ADULT_DAYS
from auricle.paediatrics import wording
from auricle.prediction import Tested

# A class counts as tested on people of whom so many had it.
FEWEST_POSITIVE: Final = 10
# So many classes of a test are told one by one.
_CLASSES_TOLD: Final = 12


def about_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """What every prediction says about weights, of the card that lies with them."""
    return {key: card[key] for key in ("method", "auricle", "n_parameters", "about")}


def is_calibrated(card: Mapping[str, Any]) -> bool:
    """Whether `auricle calibrate` was run on weights, of the card that lies with them."""
    return bool(card.get("about", {}).get("calibrated"))


def knows(about: Mapping[str, Any], language: str = "en") -> list[str]:
    """What weights were trained on and how they were tested, in sentences, as far as their card says it.

    Args:
        about: by `about_of`.
        language: "en", "zh" or "de".
    """
    own, said = about.get("about", {}), wording.words(language)["prediction"]
    if not own.get("source"):
        return [said["unknown"], said["untested"]]
    asked = own.get("task") or "–"
    lines = [said["trained"].format(method=about["method"], n=own["n_records"], source=own["source"], task=asked)]
    donor, sources = own.get("donor"), {own["source"]}
    while donor:
        sources.add(donor.get("source"))
        told = "foreign" if "foreign" in donor else "donor"
        lines.append(said[told].format(n=donor.get("n_records"), source=donor.get("source")))
        donor = donor.get("donor")
    if sources == {"simulated"}:
        lines.append(said["simulated"])
    tests = own.get("tests", ())
    lines += [_test(test, said) for test in tests]
    return lines if tests else [*lines, said["untested"]]


def _test(test: Mapping[str, Any], said: Mapping[str, str]) -> str:
    """One test of the card in a sentence: every class that ten people had where these are few, with how many had
    it, else their mean and the extremes; all classes where no ten people had one."""
    # A class that few people had says nothing, and would be the extreme by chance.
    had = test.get("positive", {})
    known = {name: score for name, score in test["auroc"].items() if had.get(name, math.inf) >= FEWEST_POSITIVE}
    told = ", ".join(
        f"{name} {score:.2f}" + (f" ({had[name]})" if name in had else "")
        for name, score in (known or test["auroc"]).items()
    )
    scores = sorted(known.items(), key=lambda item: item[1])
    if len(scores) > _CLASSES_TOLD:
        mean = sum(score for _, score in scores) / len(scores)
        (worst, least), (best, most) = scores[0], scores[-1]
        told = said["many"].format(
            n=len(scores), mean=f"{mean:.2f}", worst=worst, least=f"{least:.2f}", best=best, most=f"{most:.2f}"
        )
    return said["tested"].format(n=test["n_records"], source=test["source"], scores=told)


def tested_on(about: Mapping[str, Any], classes: Sequence[str], kind: str) -> dict[str, tuple[Tested, ...]]:
    """By class, on whom its score was tested, by the card of the weights: ten people at least who had it.

    Args:
        about: by `about_of`.
        classes: that are asked.
        kind: of the scores, `probability` or `similarity`.
    """
    found: dict[str, tuple[Tested, ...]] = {}
    for name in classes:
        kinds = [
            _people(test)
            for test in about.get("about", {}).get("tests", ())
            if (test["protocol"] == "zero_shot") == (kind == "similarity")
            and test.get("positive", {}).get(name, 0) >= FEWEST_POSITIVE
        ]
        found[name] = tuple(dict.fromkeys(kinds))
    return found


def trained_ages(about: Mapping[str, Any]) -> tuple[float, float] | None:
    """The least and the greatest age at which weights, and all they began from, learned what they are asked.

    Of weights that learned labels last these are the ages of the people whose labels they learned: what came before,
    without labels, taught them no answer at its ages. None where one of them is unknown.

    Args:
        about: by `about_of`.
    """
    stages, own = [], about.get("about")
    while own:
        stages.append(own)
        own = own.get("donor")
    if stages and stages[0].get("task"):
        stages = [one for one in stages if one.get("task")]
    links = [one.get("age_days") for one in stages]
    if not links or None in links:
        return None
    return min(low for low, _ in links), max(high for _, high in links)


def _people(test: Mapping[str, Any]) -> Tested:
    """Whom a test of a card was on."""
    if test["source"] == "simulated":
        return "simulated"
    oldest = (test.get("age_days") or (None, math.inf))[1]
    return "real_children" if oldest < ADULT_DAYS else "real_adults"
