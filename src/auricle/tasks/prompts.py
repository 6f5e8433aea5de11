"""The prompts of a task as vectors, one for each class."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.errors import DataError
from auricle.tasks import Task, list_tasks, load_task
from auricle.text.glossary import english_words, to_english, words
from auricle.text.reports import clean
from auricle.text.towers import Tower

# The towers that come along read English and letters of no other script.
_ENGLISH: Final = ("minilm", "ngrams")
# Articles and prepositions of French, Italian, Spanish, Portuguese, Dutch and Scandinavian, none of them English.
_NOT_ENGLISH: Final = frozenset({
    "du", "de", "la", "le", "les", "des", "et", "avec", "sans", "di", "del", "della", "il", "con", "senza", "e", "el",
    "los", "las", "y", "sin", "da", "do", "das", "dos", "com", "sem", "van", "het", "een", "met", "en", "og", "med",
})  # fmt: skip
_ACCENTED: Final = re.compile(r"[àâçèéêëìíîïñòóôõùúûœãåøæ]", re.IGNORECASE)
_OTHER_SCRIPT: Final = re.compile(r"[^\W\d_a-zA-Z\u00aa-\u024f\u0370-\u03ff]")


def embed_prompts(task: Task, tower: Tower) -> Float[Tensor, "c width"]:
    """For each class the mean of its prompts' tower embeddings, renormalised to unit length.

    Prompts pass the phrase book that reports pass.

    Raises:
        DataError: a class has no prompts, or one that the tower cannot read.

    Warns:
        UserWarning: a prompt has words of another language or accents, and hardly one that is known as English.
    """
    sentences = [[_readable(prompt, task, tower) for prompt in prompts] for prompts in task.prompt_sentences()]
    means = [torch.from_numpy(tower.embed(prompts)).mean(0) for prompts in sentences]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)


def _readable(prompt: str, task: Task, tower: Tower) -> str:
    """A prompt as the tower reads it: in English where the phrase book knows its language."""
    said = to_english(clean(prompt))
    if not tower.name.startswith(_ENGLISH):
        return prompt if said.language == "en" else said.text
    n_known, n_words = _known(said.text)
    foreign = _ACCENTED.search(said.text) or _NOT_ENGLISH.intersection(words(said.text))
    name = tower.name.partition("-")[0]
    if said.untranslated or _OTHER_SCRIPT.search(said.text):
        raise DataError(
            f"task {task.id}: the prompt {prompt!r} is not English, and the tower {name} reads nothing else: write it "
            "in English, or train with a tower that reads it"
        )
    # English borrows from all of these languages ("de novo", "torsades de pointes"): nothing is refused by them.
    if n_words and (not n_known or (foreign and 3 * n_known < n_words)):
        warnings.warn(
            f"task {task.id}: the prompt {prompt!r} may not be English, and the tower {name} reads nothing else: make "
            "sure that it is",
            stacklevel=2,
        )
    return prompt if said.language == "en" else said.text


def _known(text: str) -> tuple[int, int]:
    """How many words of some length are English as the phrase book and the prompts that come along have it, of all."""
    found = [word.lower() for word in words(text) if word.isalpha() and len(word) > 2]
    return sum(word in _vocabulary() for word in found), len(found)


@lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    classes = (entry for name in list_tasks() for entry in load_task(name).classes)
    asked = (prompt for entry in classes for prompt in entry.prompts.get("en", ()))
    return english_words() | {word.lower() for prompt in asked for word in words(prompt)}
