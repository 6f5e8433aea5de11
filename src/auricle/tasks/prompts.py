"""The prompts of a task as vectors, one for each class."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.tasks import Task
from auricle.text.towers import Tower


def embed_prompts(task: Task, tower: Tower) -> Float[Tensor, "c width"]:
    """For each class the mean of its prompts' tower embeddings, renormalised to unit length.

    Raises:
        DataError: a class has no prompts.
    """
    means = [torch.from_numpy(tower.embed(list(prompts))).mean(0) for prompts in task.prompt_sentences()]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)
