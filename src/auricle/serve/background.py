"""Work that goes on beside the answers, whatever goes wrong with a part of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from auricle.serve.guard import where

log = logging.getLogger("auricle.serve")

# After a fault it is tried again so much later: a full disk is not emptied at once.
_PAUSE_S: Final = 5.0


def keep_doing(act: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Do something again and again, until the task is cancelled.

    Args:
        act: returns when it is to be begun again. What it raises is logged by its kind and place, and it is begun again
            a little later.
    """

    async def forever() -> None:
        while True:
            try:
                await act()
            except Exception as error:
                log.error("%s", where(error))
                await asyncio.sleep(_PAUSE_S)

    return asyncio.create_task(forever())
