"""Evaluating saved weights, as the command line and a notebook ask for it: protocols, reference rows, results."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from auricle.age_axis import known_ages
from auricle.data.store import Store
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.evaluate.caption import Result
from auricle.evaluate.cross_validation import PROTOCOL as CROSS_VALIDATED
from auricle.evaluate.cross_validation import cross_validated, cross_validated_rows
from auricle.evaluate.lineage import name_of, setting_of, task_of
from auricle.evaluate.probe import RSquared
from auricle.evaluate.protocols import FRACTIONS, SEEDS, Setting, finetuned, linear_probe, linear_recovery, zero_shot
from auricle.evaluate.reference import MORE_ROWS, ROWS, reference_rows
from auricle.evaluate.table import TRAINED, band_table, collect, to_markdown
from auricle.leads import canonical
from auricle.methods import AlignsText, Classifies, keep_test, load_card, own_card
from auricle.progress import OnProgress
from auricle.tasks import load_task
from auricle.tasks.answers import resembling
from auricle.train.watch import Watcher

# What weights answer without anything trained on top of them.
_ALONE: Final = ("finetune", "zero_shot")
PROTOCOLS: Final = ("zero_shot", "linear_probe", "finetune", CROSS_VALIDATED, "recovery")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        results: everything that lies in the results folder, this run's and that of others.
        tables: Markdown, one for each way of asking.
        recovery: R^2 by measured quantity, where that protocol was asked for.
    """

    results: Sequence[Result]
    tables: tuple[str, ...]
    recovery: Mapping[str, RSquared] = field(default_factory=dict)


def evaluate_run(
    run: Path | str,
    store: Path | str,
    out: Path | str,
    *,
    task: str | Path | None = None,
    protocols: str | Sequence[str] = (),
    rows: Sequence[str] = ROWS,
    fractions: Sequence[float] = FRACTIONS,
    seeds: Sequence[int] = SEEDS,
    name: str = "",
    published: Path | str | None = None,
    track: str = "clean",
    prompts: Path | str | None = None,
    leads: Sequence[str] | None = None,
    to_card: bool = False,
    watcher: Watcher | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluated:
    """Evaluate saved weights on a task: predictions first, then metrics, with reference rows beside them.

    Args:
        run: run folder or folder of saved weights, or the TOML of foreign ones.
        store: folder of an ingested store.
        out: folder for predictions and results; several runs may share one.
        task: id or TOML file of a task; by default the one the run was trained for.
        protocols: of `PROTOCOLS`; by default all that the weights can do with the task's own parts.
        rows: reference rows to make beside them; none where empty.
        fractions: shares of the training patients, in (0, 1].
        seeds: of the subsets below a share of 1.
        name: of the row; by default the run's.
        published: folder of published split files whose parts replace the task's own.
        track: `clean`, or `legacy` for the labels of those files, with their faults.
        prompts: a published prompt file (JSON) for zero-shot.
        leads: under `cross_validated`, the leads to read.
        to_card: write how the weights did by themselves, zero-shot or fine-tuned, into their card, which
            `auricle predict` says beside its answers.
        watcher: is told of the training of the supervised row.
        on_progress: called with (records done, records in all) while records are read.

    Raises:
        UnknownNameError: no such protocol or row.
        ConfigError: a share or name that is not possible.
        CheckpointError: the weights cannot be read.
        DataError: store and task do not fit.
    """
    run, out = Path(run), Path(out)
    protocols = (protocols,) if isinstance(protocols, str) else protocols
    _check_names(protocols, rows)  # refused before anything is computed
    if to_card:
        own_card(run)
    kept = _leads(leads, protocols)
    opened, question = Store(store), load_task(task or task_of(run), published=published, track=track, prompts=prompts)
    if (name or name_of(run)) in ROWS:
        raise ConfigError(f"a reference row is called {name or name_of(run)!r}: choose another name (--name)")
    setting = replace(setting_of(run, opened, question, out, name), on_progress=on_progress)
    for said in resembling(question, opened.column("labels")):
        warnings.warn(said, stacklevel=2)
    if to_card and setting.overlap:
        raise ConfigError(
            f"{run}: its training saw, or may have seen, the test part of {store}: that is no test for its card"
        )
    recovery, alone = run_protocols(setting, protocols, fractions, seeds, load_card(run)[0]["about"], kept)
    asked: list[tuple[str, ...]] = []
    if CROSS_VALIDATED in protocols:
        cross_validated_rows(setting, rows, kept)
    if set(protocols or [""]) != {CROSS_VALIDATED}:
        reference_rows(setting, rows, fractions, seeds, watcher or Watcher())
        asked.append(TRAINED)
    if CROSS_VALIDATED in protocols:
        asked.append((CROSS_VALIDATED,))
    results = collect(out)
    if to_card:
        _keep_tests(run, setting, alone)
    tables = tuple(to_markdown(results, question.id, protocols=shown) for shown in asked) + _by_age(
        results, question.id
    )
    return Evaluated(results, tables, recovery)


def _check_names(protocols: Sequence[str], rows: Sequence[str]) -> None:
    """Raise `UnknownNameError` where there is no such protocol or reference row."""
    for kind, named, known in (("protocol", protocols, PROTOCOLS), ("reference row", rows, (*ROWS, *MORE_ROWS))):
        for one in named:
            if one not in known:
                raise UnknownNameError(kind, one, known)


def _by_age(results: Sequence[Result], task: str) -> tuple[str, ...]:
    """The table by age, where the records are of several ages and something was asked of all of them."""
    try:
        table = band_table(results, task)
    except DataError:  # nothing learned from all training patients yet
        return ()
    return (table.to_markdown(),) if len(table.header) > 2 else ()


def _keep_tests(run: Path, setting: Setting, places: Sequence[Path]) -> None:
    """Write what the weights alone gave on their test part into their card.

    Args:
        run: the weights.
        setting: they on their task.
        places: folders of what was asked of them now; older answers of another training may lie beside them.

    Raises:
        ConfigError: nothing was asked that the weights answer alone.
    """
    if not places:
        raise ConfigError(f"{run}: --to-card keeps {' or '.join(_ALONE)}, and neither was asked or can be answered")
    ages = setting.store.columns.age_days[setting.parts("test")["test"]].astype(float)
    known = ages[known_ages(ages)]
    for one in (json.loads((place / "result.json").read_text(encoding="utf-8")) for place in places):
        columns = {name: column for name, column in one["classes"].items() if column["auroc"]["value"] is not None}
        keep_test(
            run,
            {
                "source": setting.store.info["source"],
                "task": setting.task.id,
                "protocol": one["meta"]["protocol"],
                "n_records": one["n_records"],
                "n_patients": one["n_patients"],
                "age_days": [float(known.min()), float(known.max())] if len(known) else None,
                "macro": one["macro"]["auroc"],
                "auroc": {name: column["auroc"]["value"] for name, column in columns.items()},
                "interval": {
                    name: [column["auroc"]["low"], column["auroc"]["high"]] for name, column in columns.items()
                },
                "positive": {name: column["n_positive"] for name, column in columns.items()},
                "ece": {name: column["ece"] for name, column in columns.items()},
            },
        )


def run_protocols(
    setting: Setting,
    protocols: Sequence[str],
    fractions: Iterable[float],
    seeds: Iterable[int],
    about: Mapping[str, Any],
    leads: Sequence[str] | None = None,
) -> tuple[dict[str, RSquared], list[Path]]:
    """What was asked for, or all that the weights can do; a probe of weights that saw the labels only if asked for.

    Args:
        setting: the weights on their task.
        protocols: of `PROTOCOLS`; empty for all that the weights can do.
        fractions: shares of the training patients for the linear probe.
        seeds: of the subsets below a share of 1.
        about: what the card of the weights says of their training.
        leads: under `cross_validated`, the leads to read; all where None.

    Returns:
        R^2 by measured quantity if "recovery" is among the protocols, else nothing; and the folders of what the
        weights answered alone, zero-shot or fine-tuned.

    Raises:
        ConfigError: an unknown protocol.
    """
    recovered: dict[str, RSquared] = {}
    alone: list[Path] = []
    known: dict[str, Callable[[], object]] = {
        "zero_shot": lambda: zero_shot(setting),
        "linear_probe": lambda: linear_probe(setting, fractions, seeds),
        "finetune": lambda: finetuned(
            setting, about.get("label_share", 1.0), about.get("seed", 0), about.get("n_records")
        ),
        CROSS_VALIDATED: lambda: cross_validated(setting, leads=leads),
        "recovery": lambda: recovered.update(linear_recovery(setting)),
    }
    tuned = isinstance(setting.method, Classifies)
    able = {"zero_shot": isinstance(setting.method, AlignsText), "linear_probe": not tuned, "finetune": tuned}
    for name in protocols or [name for name, is_able in able.items() if is_able]:
        if name not in known:
            raise ConfigError(f"unknown protocol {name!r}: choose from {', '.join(known)}")
        made = known[name]()
        if name in _ALONE and isinstance(made, Path):
            alone.append(made)
    return recovered, alone


def _leads(names: Sequence[str] | None, protocols: Sequence[str]) -> tuple[str, ...] | None:
    """The leads that were asked for, by their canonical names.

    Raises:
        ConfigError: the protocol is another one.
    """
    if names is None:
        return None
    if tuple(protocols) != (CROSS_VALIDATED,):
        raise ConfigError(
            "leads go with the protocol cross_validated (--leads, --protocol); for the others see auricle robustness"
        )
    return tuple(dict.fromkeys(canonical(name) for name in names))
