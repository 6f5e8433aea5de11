"""Tasks: classes, split and prompts for a data set, as TOML files. `ptb_xl/super.toml` is the task `ptb_xl/super`.

A path to a TOML file of this form is a task as well, so that owners of private data can define their own. The split
files and prompts that others published are read from where their user has them (`load_task`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from auricle.config import Catalogue, Config, read_toml, validate
from auricle.data.splits import Parts, by_fold, by_patient, by_record
from auricle.data.store import Store
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.recording import DOUBT, NO_CLASS
from auricle.tasks.published import Published, PublishedTable, read_published
from auricle.tasks.spelling import codes_like

_TASKS: Final = Catalogue("task", Path(__file__).parent)

Language = Literal["en", "de", "zh"]
PARTS: Final = ("train", "validation", "test")
TRACKS: Final = ("clean", "legacy")
_SNOMED: Final = re.compile(r"\d{6,18}")
# Codes that stand for another one: pairs that the Challenge of 2021 scores as one (Reyna et al. 2021; complete bundle
# branch blocks, premature beats), tachycardia in paroxysms, and what an ECG sees of an atrium that is enlarged.
_SAME_AS: Final = {
    "59118001": "713427006", "164909002": "733534002", "63593006": "284470004", "17338001": "427172004",
    "425856008": "164895002", "253352002": "67741000119109",
}  # fmt: skip


def _in_english(prompts: Any) -> Any:
    """A bare list of prompts is English."""
    return prompts if isinstance(prompts, Mapping) else {"en": prompts}


class ClassSpec(Config):
    """One class: the codes that make a record positive, and the sentences that describe it to a text tower.

    Attributes:
        title: what the class is, in English words.
        titles: the same in other languages.
        codes: labels as the source spells them, matched whole.
        unsure: labels that leave it open whether a record is of the class, such as an infarction without its territory.
        group: of classes that answer one question, such as the rhythm: of a record with none of them, which does not
            say `none` either, none of them is known.
        prompts: sentences by language; a bare list is English.
    """

    name: str
    title: str = ""
    titles: dict[Language, str] = Field(default_factory=dict)
    codes: tuple[str, ...]
    unsure: tuple[str, ...] = ()
    group: str = ""
    prompts: Annotated[dict[Language, tuple[str, ...]], BeforeValidator(_in_english)] = Field(default_factory=dict)


class FoldSplit(Config):
    """Parts by the source's own cross-validation folds."""

    by: Literal["fold"]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


class PatientSplit(Config):
    """Parts by a hash of the patient, as shares."""

    by: Literal["patient"]
    train: float
    validation: float
    test: float


class Task(Config):
    """Source, classes, split and prompts of one question.

    Attributes:
        subset: the part of a source of several data sets that is asked about, such as `ningbo`.
        require_any: leave out records that have none of the classes, as published PTB-XL tasks do.
        published: where the published split files of this question lie below their folder.
        published_folder: that folder, if the published parts are to be used.
        track: `clean` takes labels from the records, whole codes only; `legacy` takes the columns of the published
            files, with their faults, for rows beside a published table.
        origin: the name or file it was loaded by.
    """

    id: str
    title: str
    source: str
    subset: str = ""
    prompts_version: int = 1
    require_any: bool = False
    split: Annotated[FoldSplit | PatientSplit, Field(discriminator="by")]
    published: Published | None = None
    published_folder: Path | None = None
    track: Literal["clean", "legacy"] = "clean"
    classes: tuple[ClassSpec, ...]
    origin: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(entry.name for entry in self.classes)

    @property
    def fingerprint(self) -> str:
        """Of what is asked: 64 hexadecimal digits of the records, their parts, and the classes with their codes.

        Titles and sentences are not in it, which may be mended, nor where the file lies.
        """
        classes = [entry.model_dump(mode="json", exclude={"title", "titles", "prompts"}) for entry in self.classes]
        asked = [self.source, self.subset, self.require_any, self.track, self.split_facts(), classes]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def targets(self, labels: Iterable[Sequence[str]]) -> NDArray[np.float32]:
        """(record, class) 1 where a label of the record is a code of the class, matched whole, 0 where it has others.

        A record without any label is not annotated, which is NaN for every class and not 0; `none` (`NO_CLASS`) is a
        label of no class. NaN as well is a class whose code only occurs in doubt (`RVH?`), one of which the record has
        an `unsure` label, in doubt or not, one of a `group` of which it has no class (`none` denies them all), and one
        whose codes are of a vocabulary of which the record has none: diseases (`ICD:Q21.0`) say nothing of the ECG, nor
        the reverse. And one of which a label is written like a code and is none (`norm`, `?RVH`, `V.a. RVH`): see
        `resembled`.
        """
        # A million records have a few thousand different lists of labels.
        places: dict[tuple[str, ...], int] = {}
        rows = np.array([places.setdefault(tuple(own), len(places)) for own in labels], dtype=np.int64)
        return self._answers(list(places))[rows]

    def _answers(self, records: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """(record, class) as `targets`, of records each of which is looked at."""
        code_sets = [(set(entry.codes), set(entry.unsure)) for entry in self.classes]
        rows = []
        for own in records:
            unread = {code for codes in self.resembled(own).values() for code in codes}
            rows.append([_answer(codes, unsure, own, unread) for codes, unsure in code_sets])
        found = np.array(rows, dtype=np.float32).reshape(len(rows), len(code_sets))
        said_none = np.array([NO_CLASS in own for own in records], dtype=bool)
        for group in {entry.group for entry in self.classes} - {""}:
            columns = [number for number, entry in enumerate(self.classes) if entry.group == group]
            unasked = ~(found[:, columns] == 1).any(1) & ~said_none
            found[np.ix_(unasked, columns)] = np.nan
        return found

    def resembled(self, labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The codes of this task that labels are written like and are not, by label (`auricle.tasks.spelling`)."""
        codes = frozenset(code for entry in self.classes for code in (*entry.codes, *entry.unsure))
        return {label: like for label in labels if (like := codes_like(label, codes, known_codes()))}

    def store_targets(self, store: Store) -> NDArray[np.float32]:
        """(record, class) of all of a store: 0, 1, or NaN where it is not annotated.

        Of a store of several collections (sources such as `challenge2021/cpsc`), each of which was read for a list of
        its own, a class is not annotated in a collection of which no record has it.
        """
        if self.track == "clean":
            found = self.targets(store.column("labels"))
            return known_in_collections(found, store.column("source").astype(str))
        table = self._published_table().labels(self.class_names)
        unknown = np.full(len(self.classes), np.nan, dtype=np.float32)
        return np.stack([table.get(str(record), unknown) for record in store.column("record_id")])

    def parts(self, store: Store) -> Parts:
        """Row numbers of train, validation and test; patient-disjoint, checked.

        Raises:
            DataError: a part is empty, or a patient is in two of them.
        """
        rows = self._rows(store)
        if self.published_folder is not None:
            # The published parts say themselves which records take part, and are not always patient-disjoint.
            return by_record(store, self._published_table().parts, rows)
        shares = self.split.model_dump(exclude={"by"})
        parts = by_fold(store, shares, rows) if self.split.by == "fold" else by_patient(store, shares, rows)
        if self.require_any:
            labelled = np.asarray((self.targets(store.column("labels")) == 1).any(axis=1))
            parts = {name: rows[labelled[rows]] for name, rows in parts.items()}
        return parts

    def split_facts(self) -> dict[str, Any]:
        """What says which records are in which part, for the card of weights: equal for tasks of equal parts.

        Raises:
            DataError: published split files cannot be read.
        """
        if self.published_folder is None:
            return self.split.model_dump(mode="json")
        listed = {part: sorted(records) for part, records in self._published_table().parts.items()}
        return {"by": "published", "sha256": hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()}

    def annotated_parts(self, store: Store, needed: Sequence[str] = PARTS) -> Parts:
        """`parts` without the records that are annotated for no class: nothing is learned or scored on those.

        Args:
            store: the store.
            needed: the parts that must have annotated records; others may be left without any.

        Raises:
            DataError: a needed part holds no annotated record, a part is empty, or a patient is in two of them.
        """
        annotated = np.asarray(~np.isnan(self.store_targets(store)).all(axis=1))
        parts = {name: rows[annotated[rows]] for name, rows in self.parts(store).items()}
        bare = [name for name in needed if not len(parts[name])]
        if bare:
            raise DataError(
                f"{store.path}: no record of the {bare[0]} part has labels, and {self.id} asks for them; a record that "
                f"was looked at and has none of the classes says `{NO_CLASS}`"
            )
        return parts

    def prompt_sentences(self, language: Language = "en") -> tuple[tuple[str, ...], ...]:
        """The prompts of each class in one language, in the order of the classes.

        Raises:
            DataError: a class has none in this language.
        """
        empty = [entry.name for entry in self.classes if not entry.prompts.get(language)]
        if empty:
            raise DataError(
                f"task {self.id}: no prompts ({language}) for {', '.join(empty)}; zero-shot needs a sentence per class"
            )
        return tuple(entry.prompts[language] for entry in self.classes)

    def titles(self) -> dict[str, dict[str, str]]:
        """What each class is in words, by class and language; where it has no title, its first prompt tells."""
        return {entry.name: words for entry in self.classes if (words := _titles(entry))}

    def snomed(self) -> dict[str, str]:
        """The SNOMED CT code of each class whose codes mean one thing; a class that pools several has none."""
        found = {
            entry.name: {_SAME_AS.get(code, code) for code in entry.codes if _SNOMED.fullmatch(code)}
            for entry in self.classes
        }
        return {name: next(iter(codes)) for name, codes in found.items() if len(codes) == 1}

    def _rows(self, store: Store) -> NDArray[np.int64]:
        """The records of the asked part of the source; all of them where the task names none."""
        if not self.subset:
            return np.arange(len(store))
        rows = np.flatnonzero(store.column("source") == f"{self.source}/{self.subset}")
        if not len(rows):
            raise DataError(f"{store.path}: has no record of {self.source}/{self.subset}, as {self.id} needs")
        return rows

    def _published_table(self) -> PublishedTable:
        assert self.published is not None
        assert self.published_folder is not None
        return read_published(self.published, self.published_folder)


def _answer(codes: set[str], unsure: set[str], labels: Sequence[str], unread: set[str]) -> float:
    """1, 0 or NaN: whether a record with these labels is of the class with these codes; `unread` ones are not known."""
    if not codes.isdisjoint(labels):
        return 1.0
    doubted = {label.removesuffix(DOUBT).rstrip() for label in labels if label.endswith(DOUBT)} | unread
    annotated = NO_CLASS in labels or not {*map(_vocabulary, codes)}.isdisjoint(map(_vocabulary, labels))
    denied = annotated and codes.isdisjoint(doubted) and unsure.isdisjoint(doubted | set(labels))
    return 0.0 if denied else float("nan")


def known_in_collections(targets: NDArray[np.floating], sources: NDArray[np.str_]) -> NDArray[Any]:
    """Answers without those that nobody can have given: of a class that no record of a collection has.

    Args:
        targets: (record, class) 0, 1, or NaN where not annotated.
        sources: (record,) such as `challenge2021/cpsc`; a source without a collection keeps its answers.
    """
    found = targets.copy()
    for collection in {source for source in sources if "/" in source}:
        rows = sources == collection
        found[np.ix_(rows, ~(found[rows] == 1).any(0))] = np.nan
    return found


def _vocabulary(code: str) -> str:
    """What a code belongs to: `ICD` of `ICD:Q21.0`; empty for a bare one."""
    return code.rpartition(":")[0]


def _titles(entry: ClassSpec) -> dict[str, str]:
    told: dict[str, str] = {language: sentences[0] for language, sentences in entry.prompts.items() if sentences}
    told |= {"en": entry.title} if entry.title else {}
    return {**told, **dict(entry.titles.items())}


def list_tasks() -> list[str]:
    """Ids of the tasks that come with auricle."""
    return _TASKS.names()


def only_task(source: str) -> str:
    """The id of the task that is asked of records of a source, where there is one only.

    Raises:
        ConfigError: there are several, or none.
    """
    found = [name for name in list_tasks() if load_task(name).source == source]
    if len(found) == 1:
        return found[0]
    known = f"for records of {source} there are {', '.join(found)}" if found else f"there is none for {source}"
    raise ConfigError(f"say with --task what is asked: {known}, or a TOML file of your own")


@cache
def known_codes() -> frozenset[str]:
    """The codes that any class of any task that comes with auricle is told by, and the one that says no class."""
    classes = (entry for name in list_tasks() for entry in load_task(name).classes)
    return frozenset(code for entry in classes for code in entry.codes) | {NO_CLASS}


def joined_codes(label: str) -> tuple[str, ...]:
    """The codes that a label joins by mistake, such as `NORM/RVH`; empty for a code that is known and for any other.

    `LAFB/LPFB` is one subclass of PTB-XL, so only the codes that come with auricle can tell.
    """
    if any(code.rpartition(":")[2] == label for code in known_codes()):
        return ()
    parts = tuple(part for part in re.split(r"[\s/+&、]+", label) if part)
    return parts if len(parts) > 1 and set(parts) <= known_codes() else ()


def load_task(
    name: str | Path,
    *,
    published: Path | str | None = None,
    track: str = "clean",
    prompts: Path | str | None = None,
) -> Task:
    """A task by its id, or from a TOML file of one's own.

    Args:
        name: id or file.
        published: folder of the published split files; its parts replace the task's own.
        track: `legacy` also takes the labels of those files.
        prompts: a published prompt file (JSON: class name to sentence) that replaces the English prompts.

    Raises:
        UnknownNameError: no such task; suggests the nearest.
        ConfigError: the file is not a task.
        DataError: published parts or prompts are asked for and not there.
    """
    path = _TASKS.find(name)
    task = validate(Task, _with_classes(read_toml(path), path), str(path))
    if len(set(task.class_names)) != len(task.class_names):
        raise DataError(f"{path}: two classes have the same name")
    if track not in TRACKS:
        raise UnknownNameError("track", track, TRACKS)
    if published is not None and task.published is None:
        raise DataError(f"task {task.id}: there are no published split files for it")
    if track == "legacy" and published is None:
        raise DataError("the legacy track needs the folder of the published split files: give it as well")
    task = task.model_copy(
        update={
            "published_folder": Path(published) if published is not None else None,
            "track": track,
            "origin": str(name),
        }
    )
    return task if prompts is None else _with_prompts(task, Path(prompts))


def _with_classes(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """A task's table; `classes_of` names another task whose classes it asks for, `only` those of them it means."""
    if "classes_of" not in table:
        return table
    if "classes" in table:
        raise ConfigError(f"{path}: classes and classes_of: give one of the two")
    other = load_task(table["classes_of"])
    only = table.get("only", other.class_names)
    unknown = [name for name in only if name not in other.class_names]
    if unknown:
        raise ConfigError(f"{path}: only: {other.id} has no class {', '.join(map(str, unknown))}")
    given = {key: value for key, value in table.items() if key not in ("classes_of", "only")}
    return {**given, "classes": [entry.model_dump() for entry in other.classes if entry.name in only]}


def _with_prompts(task: Task, path: Path) -> Task:
    try:
        sentences = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a prompt file ({error}); it should be JSON from class name to sentence") from None
    missing = [entry.name for entry in task.classes if not isinstance(sentences.get(entry.name), str)]
    if missing:
        raise DataError(f"{path}: has no sentence for {', '.join(missing)} of task {task.id}")
    classes = tuple(
        entry.model_copy(update={"prompts": {**entry.prompts, "en": (sentences[entry.name].strip(),)}})
        for entry in task.classes
    )
    return task.model_copy(update={"classes": classes})
