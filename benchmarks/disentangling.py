"""Are the two parts of cg_dmer two? What each knows, and what a drawing loses when one of them is another record's.

    python benchmarks/disentangling.py --weights RUN --store STORE [--task ID] [-n 2000] [--real FOLDER] [--name NAME]
    python benchmarks/disentangling.py --weights RUN RUN ... --store STORE                 # ablations: a line for each

Three tables. (a) A linear probe of the task on the shared part, the specific part and both, from shares of the
training patients. (b) What was done to simulated recordings (noise, filters, swapped electrodes), and what belongs to
the person, told from each part: held-out R^2 by ridge regression, or AUROC by logistic regression for yes or no; random
convolutions of the same input beside them say what of it is to be seen at all. (c) The error of hidden leads and of
hidden moments, drawn from a record's own parts, with one part taken from another record, and by predicting nothing.
And how far the two parts are correlated. With --real, (b) and (c) of PTB-XL too, whose list names every record's cart,
noise and drift. The untrained network stands beside all of it.
Prints Markdown; writes benchmarks/results/disentangling.json by name.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.atomic import write_json
from auricle.augment.masking import chosen
from auricle.batch import ECGBatch
from auricle.data.collate import collate
from auricle.data.sources._lists import read_list
from auricle.data.sources.ptb_xl import PtbXl
from auricle.data.splits import share_of_patients
from auricle.data.store import Store
from auricle.evaluate.cross_validation import stratified_folds
from auricle.evaluate.probe import fit_probe, recovery
from auricle.evaluate.protocols import Setting, zero_shot
from auricle.evaluate.ranking import auroc, macro
from auricle.evaluate.reference import untrained
from auricle.evaluate.rocket import Rocket
from auricle.leads import LIMB
from auricle.methods import load_card, load_method
from auricle.methods.cg_dmer import CgDmer
from auricle.nn.patch import patch_mask
from auricle.recording import Recording
from auricle.simulate import cohort, noise
from auricle.simulate.cohort import Cohort
from auricle.simulate.streams import Streams, draw
from auricle.tasks import load_task

Floats = NDArray[np.float32]
RESULTS = Path(__file__).parent / "results" / "disentangling.json"
PARTS = ("shared", "specific", "both")
FRACTIONS, SEEDS = (0.01, 0.1, 1.0), (0, 1, 2)
SEED, BATCH, FOLDS, KERNELS = 4242, 64, 5, 500
LEAST_SPREAD = 1e-6


def part_of(features: Floats, part: str) -> Floats:
    """The columns of one part of pooled features."""
    half = features.shape[1] // 2
    return {"shared": features[:, :half], "specific": features[:, half:], "both": features}[part]


def probes(method: CgDmer, store: Store, task: str) -> dict[str, dict[str, float]]:
    """Macro AUROC on the task's test part, by part and share of training patients, mean over the seeds of a share."""
    question = load_task(task)
    setting = Setting(method, store, question, Path(), name="cg_dmer")
    rows = question.parts(store)
    features = {name: setting.each(method.embed, part) for name, part in rows.items()}
    targets = {name: setting.targets(part) for name, part in rows.items()}
    patients = store.patients[rows["train"]]
    found: dict[str, dict[str, float]] = {}
    for part in PARTS:
        train, validation, test = (part_of(features[name], part) for name in ("train", "validation", "test"))
        found[part] = {}
        for fraction in FRACTIONS:
            scores = []
            for seed in SEEDS if fraction < 1 else SEEDS[:1]:
                kept = share_of_patients(patients, fraction, seed)
                probe = fit_probe(train[kept], targets["train"][kept], validation, targets["validation"])
                scores.append(float(macro(auroc(targets["test"], probe.predict(test)))))
            found[part][f"{fraction:.0%}"] = round(100 * float(np.mean(scores)), 1)
    return found


@dataclass(frozen=True)
class Asked:
    """Recordings, and what is true of them: numbers (NaN where not known), and things that are so or not."""

    recordings: list[Recording]
    patients: list[str]
    numbers: dict[str, NDArray[Any]]
    so_or_not: dict[str, NDArray[np.bool_]]


def simulated(people: Cohort) -> Asked:
    """A cohort, of which everything is known."""
    n = len(people)
    streams = Streams(SEED, np.arange(n, dtype=np.int64))
    # Sizes of the noise do not depend on the rhythm: they are drawn again as the simulator drew them.
    still = np.zeros(n)
    rhythm = SimpleNamespace(mean_rr_s=still, fibrillating=still, respiration_hz=still, respiration_phase=still)
    sizes = noise.choose(streams, draw(streams), rhythm, 10.0)  # type: ignore[arg-type]
    taken = [one.acquisition for one in people.truth]
    measured = {
        name: np.array([values.get(name, np.nan) for values in people.measurements])
        for name in ("heart_rate", "qrs_ms", "qrs_axis_deg")
    }

    def log_size(weights: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.log(np.sqrt(np.mean(weights**2, axis=(1, 2)))))

    numbers = {
        "muscle noise": np.log(sizes.muscle_mv.mean(1)),
        "baseline wander": log_size(sizes.weight_mv[:, :, :3]),
        "mains": log_size(sizes.weight_mv[:, :, 3:5]),
        "age": people.age_days,
        **measured,
    }
    so_or_not = {
        "cart cuts at 40 Hz": np.array([float(facts["cart_low_pass_hz"]) < 50 for facts in taken]),
        "electrodes swapped": np.array(["swapped" in facts for facts in taken]),
        "contacts pop": np.array(["pops" in facts for facts in taken]),
    }
    return Asked(list(people.recordings()), list(people.record_id), numbers, so_or_not)


def real(folder: Path) -> Asked:
    """PTB-XL, whose list says which cart took a record and what disturbed it."""
    source = PtbXl()
    index = source.index(folder)
    facts = read_list(folder / "ptbxl_database.csv", ("device", "static_noise", "baseline_drift"), "PTB-XL")
    there = [k for k, row in enumerate(index.to_dict("records")) if (folder / f"{row['filename_hr']}.hea").exists()]
    index, facts = index.iloc[there], facts.iloc[there]  # a partial mirror is asked for what it has
    recordings = [source.read(folder, row) for row in index.to_dict("records")]
    days = [math.nan if one.age is None else one.age.days for one in recordings]
    so_or_not = {
        "normal ECG": np.array(["NORM" in one.labels for one in recordings]),
        "female": np.array([one.sex == "F" for one in recordings]),
        "cart is a CS-12": facts["device"].str.startswith("CS-12").to_numpy(),
        "static noise": (facts["static_noise"].str.strip() != "").to_numpy(),
        "baseline drift": (facts["baseline_drift"].str.strip() != "").to_numpy(),
    }
    patients = [one.patient_id or one.record_id for one in recordings]
    return Asked(recordings, patients, {"age": np.array(days)}, so_or_not)


def batches(method: CgDmer, recordings: list[Recording]) -> Iterator[ECGBatch]:
    spec = method.config.input
    n = round(spec.seconds * recordings[0].rate_hz)
    for first in range(0, len(recordings), BATCH):
        yield collate(recordings[first : first + BATCH], spec.leads, n)


@torch.no_grad()
def features_of(embed: Callable[[ECGBatch], torch.Tensor], method: CgDmer, asked: Asked) -> Floats:
    """(record, feature), batched as the method reads them."""
    return torch.cat([embed(batch) for batch in batches(method, asked.recordings)]).numpy()


def told(features: Floats, asked: Asked) -> dict[str, float]:
    """What features tell of people they were not fitted on: R^2 of numbers, AUROC of things that are so or not.

    Both are of the held-out scores of five folds together; a fold's probe has its own penalty.
    """
    angles = {name for name in asked.numbers if name.endswith("_deg")}
    numbers = recovery(features, asked.numbers, asked.patients, angles=angles)
    found = {f"{name} (R2)": one.value for name, one in numbers.items()}
    for name, truly in asked.so_or_not.items():
        target = truly[:, None].astype(np.float32)
        fold, score = stratified_folds(target, asked.patients, FOLDS), np.zeros_like(target)
        for number in range(FOLDS):
            test, tuning = fold == number, fold == (number + 1) % FOLDS
            fit = ~test & ~tuning
            score[test] = fit_probe(features[fit], target[fit], features[tuning], target[tuning]).predict(
                features[test]
            )
        found[f"{name} (AUROC)"] = float(auroc(target, score)[0])
    return {name: round(value, 2) for name, value in found.items()}


def told_by_parts(method: CgDmer, asked: Asked) -> dict[str, dict[str, float]]:
    """The same, from each part."""
    features = features_of(method.embed, method, asked)
    return {part: told(part_of(features, part), asked) for part in PARTS}


def told_by_convolutions(method: CgDmer, asked: Asked) -> dict[str, dict[str, float]]:
    """The same, from random convolutions of what the method reads: what of it can be seen at all."""
    kernels = Rocket(method.config.input, next(batches(method, asked.recordings)), KERNELS)
    return {"random convolutions": told(features_of(kernels.features, method, asked), asked)}


def hidden_alike(method: CgDmer, ready: ECGBatch) -> ECGBatch:
    """The batch with the same leads and times hidden in every record, so that parts can change places."""
    patch, n = method.encoder.patch, ready.time_mask.shape[1]
    leads = chosen(ready.lead_mask[:1], method.config.lead_share)
    columns = chosen(patch_mask(ready.time_mask[:1], patch), method.config.time_share)
    samples = columns.repeat_interleave(patch, dim=1)[:, :n]
    return replace(ready, lead_mask=ready.lead_mask & ~leads, time_mask=ready.time_mask & ~samples)


@torch.no_grad()
def swaps(method: CgDmer, asked: Asked) -> dict[str, dict[str, float]]:
    """Root mean square error of what was hidden, median over records that have all leads.

    A hidden lead is asked where other leads are seen, a hidden moment where none is. Limb leads mostly follow from two
    others by arithmetic and stand apart.
    """
    torch.manual_seed(0)
    whole = [one for one in asked.recordings if set(method.config.input.leads) <= set(one.leads)]
    limb = torch.tensor([lead in LIMB for lead in method.config.input.leads])[None, :, None]
    errors: dict[str, dict[str, list[float]]] = {
        "hidden chest leads": {},
        "hidden limb leads": {},
        "hidden moments": {},
    }
    for batch in batches(method, whole):
        ready = method.preprocess(batch)
        full = ready.select(torch.nonzero(ready.lead_mask.all(1) & ready.time_mask.all(1))[:, 0])
        if len(full) < 2:
            continue
        seen = hidden_alike(method, full)
        tokens = method.encoder.read(seen)
        shared, specific = tokens.tokens.chunk(2, dim=-1)
        other_shared, other_specific = shared.roll(1, 0), specific.roll(1, 0)
        leads, moments = ~seen.lead_mask[:, :, None], ~seen.time_mask[:, None]
        places = {
            "hidden chest leads": leads & ~moments & ~limb,
            "hidden limb leads": leads & ~moments & limb,
            "hidden moments": moments.expand(-1, leads.shape[1], -1),
        }
        halves = {
            "its own parts": (shared, specific),
            "shared part of another": (other_shared, specific),
            "specific part of another": (shared, other_specific),
            "both of another": (other_shared, other_specific),
        }
        drawn = {
            name: method.drawn(full, replace(tokens, tokens=torch.cat(pair, dim=-1)))[0]
            for name, pair in halves.items()
        }
        for name, signal in {**drawn, "nothing drawn": torch.zeros_like(full.signal)}.items():
            for place, hidden in places.items():
                if not bool(hidden.any()):
                    continue  # all hidden leads of this batch were of the other kind
                squares = torch.where(hidden, signal - full.signal, 0.0).square().sum((1, 2)) / hidden.sum((1, 2))
                errors[place].setdefault(name, []).extend(squares.sqrt().tolist())
    return {
        place: {name: round(float(np.median(values)), 4) for name, values in rows.items()}
        for place, rows in errors.items()
        if rows
    }


def spread(method: CgDmer, asked: Asked) -> dict[str, float]:
    """Mean absolute correlation between a feature of one part and one of the other."""
    features = torch.from_numpy(features_of(method.embed, method, asked)).double()
    one, other = ((part - part.mean(0)) / part.std(0).clamp_min(LEAST_SPREAD) for part in features.chunk(2, dim=1))
    return {"mean absolute correlation": round(float((one.T @ other / len(one)).abs().mean()), 3)}


def summary(method: CgDmer, store: Store, task: str, asked: Asked) -> dict[str, float]:
    """One row of a comparison: what ablations of the two parts are asked."""
    probed = probes(method, store, task)
    errors = swaps(method, asked)["hidden chest leads"]
    with TemporaryDirectory() as folder:
        where = zero_shot(Setting(method, store, load_task(task), Path(folder), name="cg_dmer"))
        answered = json.loads((where / "result.json").read_text())["macro"]["auroc"]["value"]
    return {
        **{f"probe, {part}": probed[part]["100%"] for part in PARTS},
        "zero-shot": round(100 * answered, 1),
        "correlation of parts": spread(method, asked)["mean absolute correlation"],
        "hidden chest leads": errors["its own parts"],
        "shared part of another": errors["shared part of another"],
        "specific part of another": errors["specific part of another"],
    }


def markdown(title: str, rows: dict[str, dict[str, Any]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {name} | " + " | ".join(str(row[column]) for column in columns) + " |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def turned(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Rows as columns."""
    return {name: {part: table[part][name] for part in table} for name in next(iter(table.values()))}


def opened(run: Path) -> CgDmer:
    """Saved weights, if they have two parts."""
    method = load_method(run)
    if not isinstance(method, CgDmer):
        raise SystemExit(f"{run}: weights of {method.config.name}, which has no two parts")
    if method.config.input.scale != "mv":
        raise SystemExit(
            f"{run}: reads {method.config.input.scale}: errors are shown in mV, so train with input.scale=mv"
        )
    return method


def keep(name: str, result: dict[str, Any]) -> None:
    """Beside the other results."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    write_json(RESULTS, {**kept, name: result})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="one run, or several to compare")
    parser.add_argument("--store", type=Path, required=True, help="simulated, of the people the weights know")
    parser.add_argument("--task", default="simulated/diagnosis")
    parser.add_argument("-n", type=int, default=2000, help="simulated records whose noise and people are asked for")
    parser.add_argument("--real", type=Path, help="folder of PTB-XL at 500 Hz")
    parser.add_argument("--name", default="")
    options = parser.parse_args()
    store = Store(options.store)
    if store.info["source"] != "simulated":
        raise SystemExit(
            f"{options.store}: is of {store.info['source']}: give a simulated store, of which all is known"
        )
    made = {key: store.info["options"][key] for key in ("ages", "diagnoses")}
    people = simulated(cohort(options.n, SEED, quality="hard", rate_hz=store.rate_hz, **made))
    if len(options.weights) > 1:
        rows = {}
        for run in options.weights:
            rows[run.name] = summary(opened(run), store, options.task, people)
            print(f"{run.name}: {rows[run.name]}", flush=True)
        print(f"\n{markdown('', rows)}")
        keep(options.name or "compared", {"task": options.task, "records": options.n, "rows": rows})
        return
    [weights] = options.weights
    trained = opened(weights)
    fresh = untrained(trained)
    assert isinstance(fresh, CgDmer)
    asked = {"simulated": people} | ({"PTB-XL": real(options.real)} if options.real else {})
    result: dict[str, Any] = {
        "task": options.task, "records": options.n, "store": store.info["source"],
        "steps": load_card(weights)[0]["about"].get("steps"), "seen at all": {},
    }  # fmt: skip
    for whose, records in asked.items():
        seen = result["seen at all"][whose] = told_by_convolutions(trained, records)
        print(markdown(f"{whose}, told by", turned(seen)), flush=True)
    for state, method in (("trained", trained), ("untrained", fresh)):
        tables = result[state] = {}
        print(f"{state}\n", flush=True)

        def show(title: str, table: dict[str, dict[str, float]], tables: dict[str, Any] = tables) -> None:
            tables[title] = table
            print(markdown(title, table), flush=True)

        show("probe", probes(method, store, options.task))
        for whose, records in asked.items():
            show(f"{whose}, told by", turned(told_by_parts(method, records)))
            show(f"{whose}, drawn, RMSE in mV", swaps(method, records))
            show(f"{whose}, parts", {"shared against specific": spread(method, records)})
    keep(options.name or weights.resolve().name, result)


if __name__ == "__main__":
    main()
