"""Ablations and sweeps: several runs that differ in a few settings, trained and evaluated alike, in one table.

An ablation is data, a TOML file in `ablations/` or one of the user's own: settings common to all rows, and for each row
what differs. A row may begin from the weights of a donor, which is trained before, once for all rows and seeds. It is
run by `auricle.evaluate.ablate`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import AllowInfNan, Field, model_validator

from auricle.config import Catalogue, Config, dump, read_toml, validate, with_overrides
from auricle.encoders import build_encoder
from auricle.errors import ConfigError, UnknownNameError
from auricle.methods import METHODS
from auricle.registry import merge
from auricle.tasks import Task
from auricle.train.config import RunConfig
from auricle.train.setup import as_donor, finetune_values

# The widest that is tried to give an encoder its size.
_WIDEST: Final = 4096
_SIZE_TOLERANCE: Final = 0.15
_ABLATIONS: Final = Catalogue("ablation", Path(__file__).parent / "ablations")
Metric = Literal["auroc", "auprc", "f1", "accuracy"]


class Row(Config):
    """One row of the table.

    Attributes:
        name: of the row.
        run: what differs from the base.
        drop: dotted keys of the base that it does without.
        take: dotted keys that are lists, and which of their entries are kept (counted from 0): of the three time scales
            of any preset the middle one.
        sized_by: dotted key of the run whose value is chosen so that the encoder has as many weights as that of the row
            `Ablation.sized_like`: what a part is worth is not to be told from what fewer weights are worth.
        donor: whose weights it begins from.
        share: of the steps, epochs or minutes of the table that the row takes; a donor may take the rest.
        reference: a row of `auricle.evaluate.reference` in place of a training, such as `rocket`.
        untuned: its donor, which learned labels of `Frame.pretrain`, is asked as it is, and learns nothing of `store`.
    """

    name: str
    run: dict[str, Any] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()
    take: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    sized_by: str = ""
    donor: str = ""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    reference: Literal["", "class_prior", "rocket", "age_and_sex"] = ""
    untuned: bool = False


class Called(Config):
    """A column: what becomes of one class among people of some ages.

    Attributes:
        title: of the column.
        called: the class. Its threshold lets a tenth of those without it pass, of all ages of the validation part.
        low_days, high_days: ages counted, the last one not.
        having: `no`, how often it is called among those who do not have it (false calls); `yes`, among those who have
            (sensitivity); `both`, how well the two are told apart (AUROC), for which no threshold is needed.
    """

    title: str
    called: str
    low_days: float = 0.0
    high_days: Annotated[float, AllowInfNan(True)] = math.inf
    having: Literal["no", "yes", "both"] = "no"


class Ablation(Config):
    """What is compared.

    Attributes:
        title: headline of the table.
        source: the paper or document that asks for the comparison.
        metrics: macro metrics shown, thresholds being chosen on validation.
        fractions: shares of the training patients for the linear probe of methods that do not classify.
        calls: further columns, of rows that were trained for classes.
        protocols: how rows that were not trained for classes are asked; `fewer_leads` asks all that were trained
            again, of recordings with nine, six, three leads and one, nothing being learned anew.
        compared_with: the row that the others are compared with; none where empty.
        sized_like: the row whose encoder gives rows with `sized_by` their size.
        donors: by name, the runs whose weights rows begin from, trained on `Frame.pretrain`. One without `train` is
            trained as rows are, or for a `share` of it.
        base: settings of a run common to all rows.
        rows: at least one.
    """

    title: str
    source: str = ""
    metrics: tuple[Metric, ...] = ("auroc",)
    fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    calls: tuple[Called, ...] = ()
    protocols: tuple[Literal["zero_shot", "linear_probe", "fewer_leads"], ...] = ("linear_probe",)
    compared_with: str = ""
    sized_like: str = ""
    donors: dict[str, dict[str, Any]] = Field(default_factory=dict)
    base: dict[str, Any] = Field(default_factory=dict)
    rows: tuple[Row, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Ablation:
        names = [row.name for row in self.rows]
        for key in ("compared_with", "sized_like"):
            if getattr(self, key) and getattr(self, key) not in names:
                raise ValueError(f"{key} names no row: {getattr(self, key)!r}")
        folders = [slug(name) for name in names]
        if "" in folders or len(set(folders)) < len(folders):
            raise ValueError("row names must differ in their letters a to z and digits, which name the folders of runs")
        for row in self.rows:
            if row.sized_by and not self.sized_like:
                raise ValueError(f"row {row.name!r} is sized like another row: name it in sized_like")
            if row.donor and row.donor not in self.donors:
                raise ValueError(f"row {row.name!r} begins from {row.donor!r}, which is no donor")
            if row.reference and (row.run or row.drop or row.donor or row.take or row.sized_by):
                raise ValueError(
                    f"row {row.name!r} is the reference row {row.reference}: it has no settings of its own"
                )
            if row.untuned and (not row.donor or row.run or row.drop or row.take or row.sized_by or row.share != 1):
                raise ValueError(f"row {row.name!r} is its donor as it is: name the donor, and no settings")
        return self

    def against(self, row: str) -> Ablation:
        """The ablation whose differences are those to another row.

        Raises:
            UnknownNameError: no such row.
        """
        known = [one.name for one in self.rows]
        if row not in known:
            raise UnknownNameError("row", row, known)
        return self.model_copy(update={"compared_with": row})

    def only(self, names: Sequence[str]) -> Ablation:
        """The ablation with the named rows alone, in the order of the file; all rows if no name is given.

        Raises:
            UnknownNameError: no such row.
        """
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise UnknownNameError("row", name, known)
        return self.model_copy(update={"rows": tuple(row for row in self.rows if not names or row.name in names)})


@dataclass(frozen=True)
class Frame:
    """Where an ablation is run.

    Attributes:
        store: of the records that are asked about, and learned from by what is trained on labels.
        task: that is asked.
        out: folder of the runs, their results and the table.
        seeds: of every row.
        over: settings laid over those of every row.
        drop: dotted keys that all rows do without.
        pretrain: store that donors, and rows without labels, learn from; `store` where None.
        only: names of the rows that are trained now; all where empty. The table has all.
        minutes: of training that every row has, in place of its steps; rows that say their own steps keep them.
        steps: of a row, by its name, where they follow from the minutes.
    """

    store: Path
    task: Task
    out: Path
    seeds: Sequence[int] = (0,)
    over: Mapping[str, Any] | None = None
    drop: Sequence[str] = ()
    pretrain: Path | None = None
    only: Sequence[str] = ()
    minutes: float | None = None
    steps: Mapping[str, int] = field(default_factory=dict)


def list_ablations() -> list[str]:
    """Names of the ablations that come with auricle."""
    return _ABLATIONS.names()


def load_ablation(name: str) -> Ablation:
    """An ablation by name, or from a TOML file of one's own.

    Raises:
        UnknownNameError: no such ablation.
        ConfigError: the file is not one.
    """
    path = _ABLATIONS.find(name)
    return validate(Ablation, read_toml(path), str(path))


def row_values(ablation: Ablation, row: Row, frame: Frame, seed: int) -> dict[str, Any]:
    """Settings of the run of one row: its data, the base without what is dropped, the row, and the seed.

    A row with a donor has the donor's encoder and reads what the donor reads; one that is untuned is the donor's run.
    """
    if row.untuned:
        learned = dump(donor_config(ablation, row.donor, frame))
        if not _needs_labels(learned):
            raise ConfigError(f"its donor {row.donor!r} learns no labels, so that there is nothing to ask it as it is")
        return learned
    base: dict[str, Any] = dict(ablation.base)
    for key in (*row.drop, *frame.drop):
        base = _without(base, key.split("."))
    over = frame.over or {}
    values = merge(base, row.run)
    steps = frame.steps.get(row.name, over.get("train", {}).get("steps"))
    if steps is not None:  # what is typed, or follows from it, goes before what the file says
        over = merge(over, {"train": {"steps": steps}})
        values = _without(values, ["train", "epochs"])
    values = _shared(merge(merge(values, over), {"train": {"seed": seed}}), row.share)
    if row.donor:
        donor = dump(donor_config(ablation, row.donor, frame))["model"]
        values["model"] = as_donor(donor, values.get("model", {}))
        values["init_from"] = str(donor_folder(frame, row.donor))
    store = frame.store if frame.pretrain is None or _needs_labels(values) else frame.pretrain
    values = merge({"data": _data(store, frame.task if store.resolve() == frame.store.resolve() else None)}, values)
    for key, places in row.take.items():
        values = _taken(values, key, places)
    if row.sized_by:
        like = next(one for one in ablation.rows if one.name == ablation.sized_like)
        values = _sized(values, row.sized_by, n_weights(row_config(ablation, like, frame, seed)))
    return finetune_values(values) if "init_from" in values and not row.donor else values


def n_weights(config: RunConfig) -> int:
    """How many weights the encoder of a run has."""
    model: Any = config.model
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_encoder(model.encoder, model.input).parameters())


def _taken(values: dict[str, Any], key: str, places: Sequence[int]) -> dict[str, Any]:
    """Values in which of one list, as the run's presets make it, some entries are kept."""
    resolved: Any = dump(validate(RunConfig, values, "run"))
    for part in key.split("."):
        if not isinstance(resolved, Mapping) or part not in resolved:
            raise ConfigError(f"take: the run has no {key}")
        resolved = resolved[part]
    if not isinstance(resolved, list) or not places or max(places) >= len(resolved):
        raise ConfigError(f"take: {key} has no entry {max(places, default='that is wanted')}")
    return with_overrides(values, [f"{key}={json.dumps([resolved[place] for place in places])}"])


def _sized(values: dict[str, Any], key: str, wanted: int) -> dict[str, Any]:
    """Values in which a width is chosen so that the encoder has about as many weights as are wanted.

    Raises:
        ConfigError: no width comes near enough.
    """
    model: Any = validate(RunConfig, values, "run").model
    step = 2 * getattr(model.encoder, "n_heads", 1)  # heads divide it, and rotations the heads
    found: dict[int, int] = {}
    for width in range(step, _WIDEST, step):
        found[width] = n_weights(validate(RunConfig, with_overrides(values, [f"{key}={width}"]), "run"))
        if found[width] > wanted:
            break
    best = min(found, key=lambda width: abs(found[width] - wanted))
    if abs(found[best] - wanted) > wanted * _SIZE_TOLERANCE:
        raise ConfigError(f"{key}: no width gives {wanted} weights to the encoder; {best} gives {found[best]}")
    return with_overrides(values, [f"{key}={best}"])


def donor_config(ablation: Ablation, name: str, frame: Frame) -> RunConfig:
    """The run of a donor; of the settings laid over all rows it takes what encoders read.

    Raises:
        ConfigError: there is no store for it, or its settings are wrong.
    """
    if frame.pretrain is None:
        raise ConfigError(f"rows begin from the donor {name!r}: name the store it learns from (--pretrain STORE)")
    over = (frame.over or {}).get("model", {})
    own = {key: value for key, value in ablation.donors[name].items() if key != "share"}
    values = merge(own, {"model": {key: over[key] for key in ("input",) if key in over}})
    if "train" not in own:
        train = merge(ablation.base.get("train", {}), (frame.over or {}).get("train", {}))
        steps = frame.steps.get(donor_title(name), (frame.over or {}).get("train", {}).get("steps"))
        if steps is not None:
            train = {**_without(train, ["epochs"]), "steps": steps}
        values = _shared({**values, "train": train}, ablation.donors[name].get("share", 1.0))
    same = frame.pretrain.resolve() == frame.store.resolve()  # then its test part is not for donors
    task = frame.task if same or _needs_labels(values) else None
    return validate(RunConfig, merge({"data": _data(frame.pretrain, task)}, values), f"donor {name!r}")


def donor_title(name: str) -> str:
    """What a donor is called beside the rows."""
    return f"donor {name}"


def _shared(values: dict[str, Any], share: float) -> dict[str, Any]:
    """Settings of a run that takes a share of the steps or epochs."""
    train = dict(values.get("train", {}))
    if share == 1 or not train.keys() & {"steps", "epochs"}:
        return values
    if "epochs" in train:
        train["epochs"] *= share
    else:
        train["steps"] = max(1, round(train["steps"] * share))
    return {**values, "train": train}


def _needs_labels(values: Mapping[str, Any]) -> bool:
    """Whether the method of a run learns from labels; one that does not exist does not."""
    name = values.get("model", {}).get("name", "")
    return name in METHODS.names() and "target" in METHODS.get(name).cls.needs


def _data(store: Path, task: Task | None) -> dict[str, Any]:
    """Whose records a run sees: the training part of a task, or all of a store."""
    if task is None:
        return {"store": store}
    return {"store": store, "task": task.origin, "published": task.published_folder, "track": task.track}


def donor_folder(frame: Frame, name: str) -> Path:
    """Where a donor is trained and kept."""
    return frame.out / "donors" / slug(name)


def _without(values: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    if len(path) == 1:
        return {key: value for key, value in values.items() if key != path[0]}
    return {key: _without(value, path[1:]) if key == path[0] else value for key, value in values.items()}


def slug(name: str) -> str:
    """A row's name in small letters, digits, dots and hyphens, for a folder."""
    return re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-")


def row_config(ablation: Ablation, row: Row, frame: Frame, seed: int) -> RunConfig:
    """The run of a row.

    Raises:
        ConfigError: a setting is wrong; names the row.
    """
    try:
        return validate(RunConfig, row_values(ablation, row, frame, seed), "run")
    except ConfigError as error:
        raise ConfigError(f"row {row.name!r}: {error}") from None
