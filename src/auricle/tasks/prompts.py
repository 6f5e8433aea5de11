"""The prompts of a task as vectors, one for each class."""

from __future__ import annotations

import re
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.errors import DataError
from auricle.tasks import Task
from auricle.text.glossary import to_english
from auricle.text.reports import clean
from auricle.text.towers import Tower

# The towers that come along read English and letters of no other script.
_ENGLISH: Final = ("minilm", "ngrams")
_OTHER_SCRIPT: Final = re.compile(r"[^\W\d_a-zA-Z\u00aa-\u024f\u0370-\u03ff]")


def embed_prompts(task: Task, tower: Tower) -> Float[Tensor, "c width"]:
    """For each class the mean of its prompts' tower embeddings, renormalised to unit length.

    Prompts pass the phrase book that reports pass.

    Raises:
        DataError: a class has no prompts, or one that the tower cannot read.
    """
    sentences = [[_readable(prompt, task, tower) for prompt in prompts] for prompts in task.prompt_sentences()]
    means = [torch.from_numpy(tower.embed(prompts)).mean(0) for prompts in sentences]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)


def _readable(prompt: str, task: Task, tower: Tower) -> str:
    """A prompt as the tower reads it: in English where the phrase book knows its language."""
    said = to_english(clean(prompt))
    if tower.name.startswith(_ENGLISH) and (said.untranslated or _OTHER_SCRIPT.search(said.text)):
        raise DataError(
            f"task {task.id}: the prompt {prompt!r} is not English, and the tower {tower.name.partition('-')[0]} reads "
            "nothing else: write it in English, or train with a tower that reads it"
        )
    return prompt if said.language == "en" else said.text
