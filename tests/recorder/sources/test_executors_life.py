"""The hooks on executors: when they do something, when nothing, and for whom."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.recorder.sources.pools import ONLY, nap
from tests.recorder.sources.recordings import jobs, record, the_trace

from tachograph.recorder import control
from tachograph.recorder.core import core
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources.executors import Executors
from tachograph.trace.model import Waker


def test_nothing_is_wrapped_when_nobody_records(tmp_path: Path) -> None:
    """After the end, while it pauses, and from threads that run no loop."""
    seen: list[str] = []

    async def main() -> None:
        assert 1 == len(seen)
        with ThreadPoolExecutor(1) as pool:
            control.pause()
            assert 0 == pool.submit(nap, 0).result()
            control.resume()
            thread = threading.Thread(target=lambda: pool.submit(nap, 0).result())
            thread.start()
            thread.join()
            await asyncio.get_running_loop().run_in_executor(pool, nap, 0)

    def run(coroutine: Any) -> None:
        with ThreadPoolExecutor(1) as pool:  # no loop has run on this thread of the test
            seen.append(str(pool.submit(nap, 0).result()))
        asyncio.run(coroutine)

    trace = record(tmp_path, main, run=run, **ONLY)

    assert 1 <= len(jobs(trace)) <= 2  # this thread may have a lane of another test


def test_a_hook_on_top_of_ours_keeps_working(tmp_path: Path) -> None:
    """Ours stays below it when the recorder ends, and the next recorder uses it again."""
    stock = ThreadPoolExecutor.submit
    calls: list[int] = []

    async def first() -> None:
        ours = ThreadPoolExecutor.submit

        def on_top(self: Any, *args: Any, **named: Any) -> Any:
            calls.append(1)
            return ours(self, *args, **named)

        ThreadPoolExecutor.submit = on_top  # type: ignore[assignment, method-assign]
        await asyncio.to_thread(nap, 0)

    async def second() -> None:
        await asyncio.to_thread(nap, 0)

    try:
        assert 1 == len(jobs(record(tmp_path, first, **ONLY)))
        asyncio.run(second())
        assert 1 == len(jobs(record(tmp_path, second, **ONLY)))
        assert 3 == len(calls)
    finally:
        from tachograph.recorder import patches

        patches._standing.pop((id(ThreadPoolExecutor), "submit"), None)
        ThreadPoolExecutor.submit = stock  # type: ignore[method-assign]


def test_off_when_it_is_not_wanted(tmp_path: Path) -> None:
    """Nothing of executors is told, nothing is put in."""
    stock = ThreadPoolExecutor.submit

    async def main() -> None:
        assert ThreadPoolExecutor.submit is stock
        await asyncio.to_thread(nap, 0)

    assert Executors.wanted(SourcesConfig.none()) is None
    assert {0} == set(record(tmp_path, main).lanes)


CHILD = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
from itertools import pairwise
from pathlib import Path
from tachograph import recorder

def job(): pass

async def main():
    await asyncio.to_thread(job)

def start():
    return recorder.start(recorder.RecorderConfig(directory=Path(sys.argv[1])))

it = start()
asyncio.run(main())
child = os.fork()
if not child:
    asyncio.run(main())
    own = start()
    asyncio.run(main())
    asyncio.run(main())
    ok = own.close() and own.statistics()["jobs_recorded"] == 2
    os._exit(0 if ok else 3)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
it.close()
assert it.statistics()["jobs_recorded"] == 1, it.statistics()
sys.exit(code)
"""


def test_a_forked_child_records_its_own_only(tmp_path: Path) -> None:
    """Its hooks are inert until it starts a recorder, and then serve that one [failure 26]."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr)


def test_a_job_may_be_called_twice_or_never() -> None:
    """A wrapper passes on what it wraps, whoever looks at it or calls it again."""
    pool = core.Pool("own", 1)

    assert nap is core.job(nap, pool)  # this thread records nothing: nothing is wrapped
    assert ("own", 1, 0, 0) == (pool.name, pool.limit, pool.waiting, pool.running)
    assert Waker.THREAD.of(1) != Waker.IO.of()


def test_the_trace_of_a_service_reads_back(tmp_path: Path) -> None:
    """The one segment is read strictly: what a source emits fits its schema."""

    async def main() -> None:
        await asyncio.gather(*(asyncio.to_thread(nap, 0.001) for _ in range(50)))

    record(tmp_path, main, **ONLY)
    trace = the_trace(tmp_path)

    assert 50 == len(jobs(trace))
    assert len(trace.wakes) >= 50
