"""uvloop's loops: what is recorded of them, and that they run, fork and close as ever."""

from __future__ import annotations

import _ctypes
import asyncio
import gc
import itertools
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
import types
import weakref
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.programs import (
    BY_IO,
    CALLBACK,
    PARK,
    SPAWN,
    hooks,
    record,
    steps,
    what,
)
from tests.recorder.reading import segments, tell

from tachograph import recorder
from tachograph.cli.main import main as tacho
from tachograph.recorder import uvloops
from tachograph.recorder.core import core, is_native

if is_native:  # it is a dependency of the tests: where it is missing they fail
    import uvloop
else:
    pytest.skip("uvloop is wrapped natively", allow_module_level=True)

MS = 1_000_000


class Peer(asyncio.Protocol):
    """Sets a future when it hears something."""

    def __init__(self, heard: asyncio.Future[bytes]) -> None:
        self.heard = heard

    def data_received(self, data: bytes) -> None:
        self.heard.set_result(data)


async def late_answer(delay_s: float) -> bytes:
    """Return what a peer hears that a thread sends to after a while."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bytes] = loop.create_future()
    near, far = socket.socketpair()
    transport, _ = await loop.create_connection(lambda: Peer(heard), sock=near)
    thread = threading.Timer(delay_s, far.send, (b"hello",))
    thread.start()
    found = await heard
    thread.join()
    transport.close()
    far.close()
    return found


def test_what_libuv_calls_is_a_step_behind_the_park() -> None:
    """A wait that a file ended says how many were ready; its callbacks begin where it ended."""

    async def main() -> None:
        assert await late_answer(0.03) == b"hello"

    events = record(main, run=uvloop.run)

    parks = [e for e in events if e.type == PARK and e.duration > 10 * MS]
    assert [park.queue for park in parks] == [1]
    ios = [s for s in steps(events) if s.flags & CALLBACK and what(events, s.task) == "io"]
    after = [s for s in ios if s.t0 == parks[0].t0 + parks[0].duration]
    assert len(after) == 1
    assert after[0].waker == BY_IO
    # The task that the protocol woke was woken by the selector.
    woken = min((s for s in steps(events) if s.t0 > after[0].t0), key=lambda s: s.t0)
    assert woken.waker == BY_IO


def test_nothing_on_a_lane_overlaps() -> None:
    """Steps, callbacks of files among them, and parks lie one behind the other."""

    async def main() -> None:
        for _ in range(3):
            await late_answer(0.002)
            await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))

    events = record(main, run=uvloop.run)

    spans = sorted(
        (e.t0, e.t0 + e.duration) for e in events if e.type == PARK or e in steps(events)
    )
    assert len(spans) > 20
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_the_wait_for_the_gil_is_told_of_sleeps_that_a_timer_ended() -> None:
    """A thread that computes keeps the loop waiting after its sleep; the park's lock says so."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(1000))

    async def main() -> None:
        for _ in range(20):
            await asyncio.sleep(0.02)  # more than a turn waits for the lock: libuv's clock stands

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        events = record(main, run=uvloop.run)
    finally:
        done.set()
        thread.join()

    locks = [e.delay for e in events if e.type == PARK and e.queue == 0]
    assert len(locks) >= 15
    assert max(locks) > sys.getswitchinterval() * 1e9 / 5


def test_queues_are_seen() -> None:
    """How many handles stood behind a step, though uvloop hides its queue."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(5):
            loop.call_soon(lambda: None)
        await asyncio.sleep(0)

    events = record(main, run=uvloop.run)

    found = [s.queue for s in steps(events) if "lambda" in what(events, s.task)]
    assert found == [5, 4, 3, 2, 1]


def test_loops_close_as_ever() -> None:
    """Again and again, in threads too: libuv is not left busy, nothing is told, memory goes."""
    told: list[Any] = []
    loops: list[weakref.ref[Any]] = []

    def one() -> None:
        loop = uvloop.new_event_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        loop.close()
        assert loop.is_closed()
        loops.append(weakref.ref(loop))

    def run(coroutine: Any) -> None:
        coroutine.close()
        for _ in range(3):
            threads = [threading.Thread(target=one) for _ in range(3)]
            for thread in threads:
                thread.start()
            one()
            for thread in threads:
                thread.join()

    events = record(asyncio.sleep, 0, run=run)
    gc.collect()

    assert told == []
    assert len(loops) == 12
    assert [loop() for loop in loops] == [None] * 12
    assert len([e for e in events if e.type == PARK]) >= 12
    for lane in core.lanes():
        if lane.ended:
            lane.close()


def test_a_running_loop_refuses_to_close_and_goes_on() -> None:
    """With uvloop's own error; its waits are recorded further."""

    async def main() -> None:
        await asyncio.sleep(0.001)
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            asyncio.get_running_loop().close()
        await asyncio.sleep(0.02)

    events = record(main, run=uvloop.run)

    assert [e for e in events if e.type == PARK and e.duration > 15 * MS]


def test_the_hooks_may_go_before_the_loop(tmp_path: Path) -> None:
    """A loop that outlives recorder and hooks runs on and closes, and is recorded by the next."""
    loop = uvloop.new_event_loop()
    config = recorder.RecorderConfig(directory=tmp_path)
    with recorder.start(config) as recording:
        loop.run_until_complete(asyncio.sleep(0.001))
        first = recording.statistics()["events_recorded"]
    loop.run_until_complete(asyncio.sleep(0.001))
    gc.collect()  # loops of other tests, whose ends the hook would wait for
    hooks.uninstall()
    loop.run_until_complete(asyncio.sleep(0.001))
    assert not hooks.installed
    with recorder.start(config) as recording:
        loop.run_until_complete(asyncio.sleep(0.02))
        home = recording.directory
    hooks.uninstall()
    loop.close()

    assert first > 0
    assert home is not None
    (parks,) = tell(segments(home)).parks.values()
    assert [park for park in parks if park.woke_ns - park.start_ns > 15 * MS]


def test_a_loop_within_a_callback_of_another() -> None:
    """Neither park nor step is made of a turn that another loop ran in; nothing is left open."""

    class Runs(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            outer = asyncio.get_running_loop()
            asyncio._set_running_loop(None)
            inner = asyncio.SelectorEventLoop()
            inner.run_until_complete(asyncio.sleep(0.01))
            inner.close()
            asyncio._set_running_loop(outer)
            done.set_result(None)

    done: asyncio.Future[None]

    async def main() -> None:
        nonlocal done
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        near, far = socket.socketpair()
        transport, _ = await loop.create_connection(Runs, sock=near)
        far.send(b"x")
        await done
        transport.close()
        far.close()

    events = record(main, run=uvloop.run)

    # A busy machine may have let the inner loop begin to wait when it was nearly over.
    park = max((e for e in events if e.type == PARK), key=lambda e: e.duration)
    ios = [s for s in steps(events) if what(events, s.task) == "io"]
    assert not [s for s in ios if s.t0 < park.t0 < s.t0 + s.duration]
    assert core.lanes()[0].open_step[0] == 0


def test_rings_may_be_exchanged_while_a_loop_turns() -> None:
    """Its callbacks write without the GIL; none writes into a ring that is gone."""
    stop = threading.Event()

    async def main() -> None:
        while not stop.is_set():
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)

    def exchange(coroutine: Any) -> None:
        thread = threading.Thread(target=uvloop.run, args=(coroutine,))
        thread.start()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            core.rings("", 64)
        core.rings("", 32_768)
        time.sleep(0.05)
        stop.set()
        thread.join()

    events = record(main, run=exchange)

    assert [e for e in events if e.type == PARK]
    for lane in core.lanes():
        if lane.ended:
            lane.close()


PROGRAMS = {
    "fork": """
        async def main():
            await asyncio.sleep(0.001)
            child = os.fork()
            if child == 0:
                asyncio._set_running_loop(None)
                with recorder.start(config):
                    uvloop.run(asyncio.sleep(0.001))
                os._exit(recorder.statistics().get("enabled", True))
            assert os.waitpid(child, 0)[1] == 0
            await asyncio.sleep(0.001)

        with recorder.start(config):
            uvloop.run(main())
    """,
    "exit": """
        def forever():
            loop = uvloop.new_event_loop()
            loop.call_later(0.001, tick, loop)
            loop.run_forever()

        def tick(loop):
            turns.release()
            loop.call_later(0.001, tick, loop)

        turns = threading.Semaphore(0)
        recorder.start(config)
        threading.Thread(target=forever, daemon=True).start()
        idle = uvloop.new_event_loop()
        idle.run_until_complete(asyncio.sleep(0.001))
        for _ in range(10):
            turns.acquire()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_processes_end_as_ever(name: str, tmp_path: Path) -> None:
    """A child of a recorded loop, and a process that ends while loops are open or running."""
    head = """
        import asyncio, os, sys, threading
        from pathlib import Path
        import uvloop
        from tachograph import recorder
        config = recorder.RecorderConfig(directory=Path(sys.argv[1]))
    """
    program = textwrap.dedent(head) + textwrap.dedent(PROGRAMS[name])
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.rglob("trace.*"))


# ---------------------------------------------------------------------- where it is not as expected


def ask(path: str, version: int) -> str:
    """Return what a process that knows no libuv yet says of an extension."""
    program = "import ctypes, uvloop.loop; from tachograph._core import _loop; "
    program += f"print(_loop.find_libuv({path!r}, {version}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_a_libuv_that_cannot_be_used_is_told_why() -> None:
    """Not loaded, without a function, of another version: the reason, and nothing is called."""
    from uvloop import loop

    version: int = loop.libuv_get_version()  # type: ignore[attr-defined]
    assert ask(loop.__file__, version) == "None"
    assert ask("/nowhere.so", version) == "/nowhere.so is not loaded"
    assert ask(_ctypes.__file__, version) == "its libuv has no uv_version to call"
    assert ask(loop.__file__, 7) == f"expected libuv 1, and of version 0x7, found {version:#x}"
    assert "libuv_get_version" in uvloops._look_for_libuv(types.SimpleNamespace())


def test_without_libuv_steps_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parks are missing, the reason is among the problems; all else is there, and loops close."""
    monkeypatch.setattr(uvloops, "_look_for_libuv", lambda _: "no libuv today")
    monkeypatch.setattr(uvloops, "_shows_queue", lambda _: False)
    monkeypatch.setattr(hooks, "_uvloops", None)
    monkeypatch.setattr(hooks, "problems", dict(hooks.problems))

    async def main() -> None:
        await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))

    events = record(main, run=uvloop.run)

    assert hooks.problems["parks of uvloop"] == "no libuv today"
    assert hooks.problems["queue of uvloop"] == "the loop's queue was not found"
    assert not [e for e in events if e.type == PARK]
    assert [what(events, e.task) for e in events if e.type == SPAWN].count("sleep") == 2


def test_another_uvloop_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not as expected there is told as a problem; asyncio's own loops are recorded."""
    monkeypatch.setattr(uvloop, "Loop", object)
    monkeypatch.setattr(hooks, "_uvloops", None)
    monkeypatch.setattr(hooks, "problems", dict(hooks.problems))

    async def main() -> None:
        await asyncio.sleep(0)

    events = record(main)

    assert "uvloop is not as expected here" in hooks.problems["uvloop"]
    assert "main" in [what(events, s.task) for s in steps(events)]


def test_what_is_not_seen_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the segment's metadata and by `tacho doctor`, in the same words."""
    with recorder.start(recorder.RecorderConfig(directory=tmp_path)) as recording:
        uvloop.run(asyncio.sleep(0.001))
        home = recording.directory
    assert home is not None
    tacho(["doctor", "--json"])
    told = {check["part"]: check for check in json.loads(capsys.readouterr().out)}

    assert tell(segments(home)).metadata["tachograph.unseen.uvloop"] == uvloops.UNSEEN
    assert told["loop uvloop"]["state"] == "reduced"
    assert told["loop uvloop"]["detail"] == uvloops.UNSEEN
