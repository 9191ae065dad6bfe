"""The default executor's threads, told apart by what they do."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tachograph.metrics.executor_probe import executor_facts


class Jobs:
    """Jobs that begin, tell so, and wait for the test."""

    def __init__(self, count: int) -> None:
        self.go = threading.Event()
        self.begun = threading.Barrier(count + 1)

    def __call__(self) -> None:
        self.begun.wait(10)
        self.go.wait(10)


def test_a_loop_without_an_executor_has_none() -> None:
    """Nothing was submitted yet: the fields are absent."""
    loop = asyncio.new_event_loop()
    found = executor_facts(loop)
    loop.close()

    assert {} == found


def test_running_waiting_and_idle_are_told_apart() -> None:
    """Two threads work, one job waits; afterwards both are idle, however many jobs there were."""

    async def main() -> tuple[dict[str, int], dict[str, int]]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        jobs = Jobs(2)
        waiting: list[Any] = [loop.run_in_executor(None, jobs) for _ in range(2)]
        jobs.begun.wait(10)
        waiting.append(loop.run_in_executor(None, int))
        full = executor_facts(loop)
        jobs.go.set()
        await asyncio.gather(*waiting)
        for _ in range(1_000_000):  # a thread is idle when it is back in its queue
            empty = executor_facts(loop)
            if empty["executor_idle"] == 2:
                break
        return full, empty

    full, empty = asyncio.run(main())

    assert {"executor_queue_depth": 1, "executor_threads": 2, "executor_idle": 0} == full
    assert {"executor_queue_depth": 0, "executor_threads": 2, "executor_idle": 2} == empty


@pytest.mark.parametrize("executor", [object(), None])
def test_a_foreign_executor_is_left_alone(executor: Any) -> None:
    """What is no thread pool shows no threads."""

    class Loop:
        _default_executor = executor

    assert {} == executor_facts(Loop())
