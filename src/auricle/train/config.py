"""The configuration of a run: what is trained, on which records, for how long. Saved in the run folder; valid input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from auricle.config import Catalogue, Config, component, read_toml
from auricle.data.order import Shuffle
from auricle.data.stream import StreamConfig
from auricle.methods import METHODS
from auricle.tasks import Task, load_task

# Published settings of whole runs, by name.
RECIPES: Final = Catalogue("recipe", Path(__file__).parent / "recipes")


Precision = Literal["32-true", "bf16-mixed", "auto"]
# What `auto` chooses from.
PRECISIONS: Final[tuple[Precision, ...]] = ("32-true", "bf16-mixed")


def read_recipe(name: str | Path) -> dict[str, Any]:
    """The settings of a recipe that comes along, or of a TOML file of one's own, without its title.

    Raises:
        UnknownNameError: no such recipe.
        ConfigError: the file is missing or is not TOML.
    """
    path = Path(name)
    own = path.is_file() or path.suffix or len(path.parts) > 1
    return {key: table for key, table in read_toml(path if own else RECIPES.find(name)).items() if key != "title"}


# What narrows down the recordings of a store.
_OF_A_STORE: Final = ("part", "label_share", "newborn_share", "published", "track")


class PartConfig(Config):
    """One part of a mixture: a stream of simulated records, or recordings of a store, which come without their reports.

    Attributes:
        share: of each batch, beside the shares of the other parts.
        stream: which people are simulated.
        store: folder of an ingested store, of the rate of the other stores.
        split: task whose split says which recordings of the store are seen; all are where there is none.
        part: part of that split.
        labels: whether the labels of the store are seen. A class that no seen recording of the store has is taken as
            not annotated there.
        open: classes that this part does not answer, whatever it knows: what another part means by them counts.
    """

    share: Annotated[float, Field(gt=0)] = 1.0
    stream: StreamConfig | None = None
    store: Path | None = None
    split: str | None = None
    part: Literal["train", "validation", "test"] = "train"
    labels: bool = False
    open: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> PartConfig:
        if self.stream is None and self.store is None:
            raise ValueError("a part of a mixture needs a store (.store=STORE, with its .split=TASK), or a stream")
        if self.stream is not None and self.store is not None:
            raise ValueError("a part of a mixture is a stream or a store: give one of the two")
        if self.stream is not None and (self.split, self.part, self.labels) != (None, "train", False):
            raise ValueError("split, part and labels are of a store: a stream has no parts, and knows what it made")
        return self


class DataConfig(Config):
    """Which records: those of a store, or a mixture of several parts.

    Attributes:
        store: folder of an ingested store.
        parts: of a mixture, by a name of one's own; in place of `store`.
        task: id or TOML file of a task: gives the split and, to methods that need them, the targets.
        part: part of the task's split to train on; without a task all records are.
        label_share: share of the part's patients to use, nested over shares for one seed.
        newborn_share: how many of the records are of the first month of life; of those there are too many of, newborns
            or older, some are left out by lot. By default all are used, and so are always those of unknown age.
        published: folder of published split files, if their parts are to be used instead of the task's own.
        track: `legacy` also takes the labels of those files.
    """

    store: Path | None = None
    parts: dict[str, PartConfig] = Field(default_factory=dict)
    task: str | None = None
    part: Literal["train", "validation", "test"] = "train"
    label_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    newborn_share: Annotated[float, Field(ge=0, le=1)] | None = None
    published: Path | None = None
    track: Literal["clean", "legacy"] = "clean"

    @model_validator(mode="after")
    def _one_kind(self) -> DataConfig:
        if self.store is None and not self.parts:
            raise ValueError("give a store, or the parts of a mixture (data.parts, or a recipe: --config)")
        if self.store is not None and self.parts:
            raise ValueError("give a store or the parts of a mixture (data.parts), not both")
        fields = type(self).model_fields
        given = [key for key in _OF_A_STORE if getattr(self, key) != fields[key].default]
        if self.parts and given:
            raise ValueError(
                f"{' and '.join(given)} go with a store: a mixture says in data.parts.NAME.split and .part which "
                "recordings of a store it sees"
            )
        return self

    def load_task(self) -> Task | None:
        """The task, if there is one."""
        return load_task(self.task, published=self.published, track=self.track) if self.task else None


class TrainConfig(Config):
    """How long and how.

    Attributes:
        steps: optimiser steps.
        epochs: passes over the training records, in place of `steps`; documents count so.
        batch_size: records per step and process, before accumulation.
        accumulate: batches whose gradients are averaged into one optimiser step. Each is a batch of its own: a
            contrastive loss compares within it, and the mean of a loss is over what is annotated in it.
        precision: `32-true`, `bf16-mixed`, or `auto`: whichever of them a few steps show to be faster here, with a
            finite loss; with several processes bf16 where the accelerator has it. The run folder says which it was.
        seed: with the step and rank it decides order, crops, augmentation and dropout.
        workers: loader processes; 0 loads in the training process.
        devices: processes (or accelerators) on each machine.
        nodes: machines, each started with the same command (torchrun, Slurm), that share the run folder.
        strategy: how several devices share the work: `ddp` copies the model, `fsdp` shares its tensors out; `auto` is
            `ddp` where there are several.
        shuffle: how an epoch is shuffled; see `auricle.data.order`.
        checkpoint_every: optimiser steps between resume points.
        keep_last: resume points kept; the newest is resumed from.
        log_every: optimiser steps between lines of log.jsonl.
    """

    steps: Annotated[int, Field(gt=0)] = 1000
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(gt=0)] = 32
    accumulate: Annotated[int, Field(gt=0)] = 1
    precision: Precision = "32-true"
    seed: int = 0
    workers: Annotated[int, Field(ge=0)] = 0
    devices: Annotated[int, Field(gt=0)] = 1
    nodes: Annotated[int, Field(gt=0)] = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    shuffle: Shuffle = Shuffle()
    checkpoint_every: Annotated[int, Field(gt=0)] = 100
    keep_last: Annotated[int, Field(gt=0)] = 2
    log_every: Annotated[int, Field(gt=0)] = 10


class RunConfig(Config):
    """Everything a run is made of.

    Attributes:
        model: the method, its encoder and recipe.
        data: the records.
        train: the loop.
        init_from: saved weights whose encoder this run starts from; `lisa-nano` are those that come along.
        init_heads: whether it starts from all else of them, too; they must be of the same method and classes.
    """

    model: component(METHODS)  # type: ignore[valid-type]
    data: DataConfig
    train: TrainConfig = TrainConfig()
    init_from: str | None = None
    init_heads: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> RunConfig:
        if self.train.epochs is not None and self.data.parts:
            raise ValueError("train.epochs counts passes over a store, and a mixture has no end: give train.steps")
        recipe = getattr(self.model, "recipe", None)
        if recipe is not None and recipe.optimiser == "lars" and not recipe.weight_decay:
            raise ValueError("model.recipe: lars scales what has a weight decay, and without one is sgd: take sgd")
        streams_alone = self.data.parts and all(part.stream is not None for part in self.data.parts.values())
        if streams_alone and self.train.shuffle != Shuffle():
            raise ValueError("train.shuffle is for the recordings of a store; a stream makes its people in order")
        spec = getattr(self.model, "input", None)
        if self.data.parts and spec is not None and spec.age != "own":
            raise ValueError(
                f"model.input.age={spec.age} changes what people of a store are told, not those of a mixture"
            )
        return self

    def with_model(self, **changes: Any) -> RunConfig:
        """This run with some fields of the method's configuration replaced."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})
