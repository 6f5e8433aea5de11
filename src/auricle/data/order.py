"""Order: which records form batch number `step`, as a function of (seed, step, process) and of nothing else.

An epoch is a shuffle of blocks of neighbouring records, then of the records inside a pool of blocks: a batch touches a
few places of a disk instead of as many as it has records, and a store that is larger than memory is read nearly in
order. A store smaller than one pool is shuffled fully. With several nodes each reads its own blocks of an epoch.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.config import Config
from auricle.errors import DataError


class Shuffle(Config):
    """How an epoch is shuffled.

    Attributes:
        block: neighbouring records that are read together.
        pool: blocks whose records are mixed with each other.
        same_patient: keep the records of one patient of a pool together; by default if the method wants it.
    """

    block: Annotated[int, Field(gt=0)] = 128
    pool: Annotated[int, Field(gt=0)] = 128
    same_patient: bool | None = None

    def wanted_by(self, same_patient: bool) -> Shuffle:
        """This shuffle, and where nothing is said of `same_patient` what a method wants."""
        return self if self.same_patient is not None else self.model_copy(update={"same_patient": same_patient})


class Share(Config):
    """Which part of a run this process is.

    Attributes:
        rank: number of this process, node by node.
        world: processes in all.
        nodes: machines, each with the same number of processes.
    """

    rank: Annotated[int, Field(ge=0)] = 0
    world: Annotated[int, Field(gt=0)] = 1
    nodes: Annotated[int, Field(gt=0)] = 1


class Order:
    """Positions in [0, n) by step.

    Every process has equally many steps in an epoch; records beyond the last full step are left out of that epoch.

    Args:
        n: records.
        batch_size: records per step and process.
        seed: of the run.
        shuffle: how an epoch is shuffled.
        share: which part of the run this process is.
        patients: (n,) patient of each record, needed for `shuffle.same_patient`.

    Raises:
        DataError: fewer records than one step of all processes needs.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        shuffle: Shuffle = Shuffle(),
        share: Share = Share(),
        patients: NDArray[np.str_] | None = None,
    ) -> None:
        self.batch_size, self.seed, self.shuffle, self.share = batch_size, seed, shuffle, share
        self.patient = None if patients is None else np.unique(patients, return_inverse=True)[1]
        # Neighbours are what lies side by side in the store, or what belongs to one patient.
        self.neighbours = np.arange(n) if self.patient is None else np.argsort(self.patient, kind="stable")
        self.per_node = n // share.nodes
        self._step_of_node = batch_size * share.world // share.nodes
        self.steps_per_epoch = self.per_node // self._step_of_node
        if self.steps_per_epoch == 0:
            raise DataError(
                f"{n} records are fewer than one batch of {batch_size * share.world}: use a smaller one (--batch-size, "
                "train.batch_size)"
            )
        self._epoch, self._positions = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, step: int) -> NDArray[np.int64]:
        """(batch_size,) positions this process reads at a step."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._positions = epoch, self._of_epoch(epoch)
        per_node = self.share.world // self.share.nodes
        start = number * self._step_of_node + self.share.rank % per_node * self.batch_size
        return self._positions[start : start + self.batch_size]

    def _of_epoch(self, epoch: int) -> NDArray[np.int64]:
        """This node's positions of an epoch, in the order they are read."""
        generator = np.random.default_rng([self.seed, epoch])
        n, block = len(self.neighbours), self.shuffle.block
        # Where the first block begins differs by epoch, so that the same records do not always share a block.
        turned = np.roll(self.neighbours, -int(generator.integers(block)))
        blocks = generator.permutation(-(-n // block))
        in_blocks = np.concatenate([turned[number * block : (number + 1) * block] for number in blocks])
        node = self.share.rank * self.share.nodes // self.share.world
        mine = in_blocks[node * self.per_node : (node + 1) * self.per_node]
        size = block * self.shuffle.pool
        pools = [mine[start : start + size] for start in range(0, len(mine), size)]
        return np.concatenate([self._mixed(pool, [self.seed, epoch, node, i]) for i, pool in enumerate(pools)])

    def _mixed(self, pool: NDArray[np.int64], key: list[int]) -> NDArray[np.int64]:
        """A pool in random order; with `same_patient`, records of each patient side by side.

        No more of them than a quarter of a batch in one bundle, or whoever has many would fill batches alone.
        """
        generator = np.random.default_rng([*key, 2])
        mixed = generator.permutation(pool)
        if self.patient is None:
            return mixed
        by_patient = np.argsort(self.patient[mixed], kind="stable")
        of_whom = self.patient[mixed][by_patient]
        begins = np.flatnonzero(np.diff(of_whom, prepend=-1))
        occurrence = np.arange(len(mixed)) - np.repeat(begins, np.diff(begins, append=len(mixed)))
        most = max(1, self.batch_size * self.share.world // 4)
        number = np.cumsum(occurrence % most == 0) - 1  # a new bundle for each patient, and after so many records
        turn = generator.permutation(number[-1] + 1)[number] if len(number) else number
        return mixed[by_patient][np.argsort(turn, kind="stable")]
