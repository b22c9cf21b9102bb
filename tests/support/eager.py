"""Eager tasks, which run up to their first wait within the call that makes them."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def emulated_task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """Return a task that has run up to its first wait. It does what `asyncio.eager_task_factory` does since 3.12."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    if not loop.is_running():
        return task
    scheduled: Any = loop
    step = scheduled._ready.pop()  # what making the task has scheduled: its first step
    maker = asyncio.current_task(loop)
    if maker is not None:
        asyncio.tasks._leave_task(loop, maker)
    try:
        step._run()
    finally:
        if maker is not None:
            asyncio.tasks._enter_task(loop, maker)
    return task


# The emulation of this module, which needs an inner part of asyncio that 3.14 does not have any more, and the real one.
EAGER_TASK_FACTORIES: list[Any] = [emulated_task_factory] if sys.version_info < (3, 14) else []
if sys.version_info >= (3, 12):
    EAGER_TASK_FACTORIES.append(asyncio.eager_task_factory)

eager_task_factory: Any = EAGER_TASK_FACTORIES[-1]
