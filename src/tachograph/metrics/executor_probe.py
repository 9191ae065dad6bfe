# ruff: noqa: SLF001 -- nothing public tells what an executor does
"""The threads of a loop's default executor: how many wait for work.

Read from the threads' own stacks at each sample. Counting submissions and endings would patch the
executor, miss the jobs of before, and take a cancelled job for one that ran; the executor's own
semaphore counts wake-ups, not threads.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["executor_facts"]


def executor_facts(loop: Any) -> dict[str, int]:
    """Return queue depth, threads and idle threads; nothing if the loop shows no executor."""
    executor = getattr(loop, "_default_executor", None)
    module = sys.modules.get("concurrent.futures.thread")
    if executor is None or module is None or not isinstance(executor, module.ThreadPoolExecutor):
        return {}
    threads = list(executor._threads)
    found = {
        "executor_queue_depth": executor._work_queue.qsize(),
        "executor_threads": len(threads),
    }
    # A thread that waits has the worker's function on top: its queue is written in C.
    worker = getattr(getattr(module, "_worker", None), "__code__", None)
    if worker is not None:
        frames = sys._current_frames()
        tops = [frames.get(thread.ident or 0) for thread in threads]
        found["executor_idle"] = sum(top is not None and top.f_code is worker for top in tops)
    return found
