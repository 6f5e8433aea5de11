"""Several processes on one run: what Lightning is told, and how a method's tensors are shared out between them.

`ddp` copies the method and averages gradients. `fsdp` (PyTorch's `fully_shard`) keeps a part of every tensor in each
process, for encoders that do not fit one device. In both, a run sees the batches that one process with all of the batch
would have seen.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from auricle.errors import require
from auricle.methods import Method
from auricle.train.config import TrainConfig


def strategy(config: TrainConfig) -> Any:
    """What Lightning's Trainer takes as its strategy."""
    world = config.devices * config.nodes
    if config.strategy == "fsdp":
        # One file per resume point, as with every other strategy.
        return require("lightning.pytorch.strategies", "train").ModelParallelStrategy(
            data_parallel_size=world, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    return "ddp" if world > 1 or config.strategy == "ddp" else "auto"


def shard(method: Method, mesh: Any) -> None:
    """Keep a part of each of a method's tensors in every process of the mesh.

    All of it is gathered for a step, and no part by itself: methods ask parts of their encoder, which a group of its
    own would leave divided. A single number cannot be divided: such parameters stay whole, and their gradients are
    averaged here.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    numbers = {parameter for parameter in method.parameters() if parameter.ndim == 0}
    fully_shard(method, mesh=mesh, ignored_params=numbers)
    register_fsdp_forward_method(method, "step")
    for parameter in numbers:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_average)  # type: ignore[no-untyped-call]


def _average(parameter: Tensor) -> None:
    assert parameter.grad is not None
    dist.all_reduce(parameter.grad)
    parameter.grad /= dist.get_world_size()


def whole_state(method: Method) -> dict[str, torch.Tensor]:
    """All tensors of a sharded method, gathered on the first process; the others get nothing. Collective."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    gathered = get_model_state_dict(method, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return {name: value for name, value in gathered.items() if isinstance(value, torch.Tensor)}
