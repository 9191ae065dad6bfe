"""Tasks that go on in the next segment are told in its head."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recorder.reading import segments
from tests.recorder.test_recording import start

from tachograph._core import loop as native
from tachograph._core.loop_pure.living import Living as Twin
from tachograph.recorder.core import core
from tachograph.trace import Trace
from tachograph.trace.files import read_bytes, read_file

EVENT = struct.Struct("=QQQIIIBBH")
STEP, SPAWN = 1, 2
RETURNED, CALLBACK = 64, 4
KINDS = [pytest.param(Twin, id="twin")]
if native is not None:
    KINDS.append(pytest.param(native.Living, id="native"))


def spawn(task: int, name: int = 1) -> bytes:
    """The beginning of a task as it stands in a ring."""
    return EVENT.pack(task * 100, task, 0, 0, 0, name, SPAWN, 0, 0)


def step(task: int, flags: int = 0) -> bytes:
    """A step of a task."""
    return EVENT.pack(task * 100 + 50, task, 0, 10, 5, 0, STEP, flags, 3)


def ids(*tasks: int) -> bytes:
    """Ids of tasks as the core tells them."""
    return struct.pack(f"={len(tasks)}Q", *tasks)


def tasks(living: Any) -> dict[int, list[int]]:
    """The tasks that live, by lane."""
    return {
        lane: [event[1] for event in EVENT.iter_unpack(raw)]
        for lane, raw in living.spawns().items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_lives_from_its_spawn_to_its_last_step(kind: Any) -> None:
    """In the order of ids, by lane; its spawn is kept as it was."""
    living = kind(10)
    living.add(1, spawn(30) + spawn(20) + step(30) + spawn(25, 7) + step(20, RETURNED))
    living.add(0, spawn(40))

    assert {0: [40], 1: [25, 30]} == tasks(living)
    assert spawn(25, 7) + spawn(30) == living.spawns()[1]
    assert 3 == len(living)
    living.forget_lane(1)
    assert {0: [40]} == tasks(living)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_is_known_to_be_gone_is_forgotten_at_once(kind: Any) -> None:
    """Also one that was missed before; unknown ones are no matter."""
    living = kind(10)
    living.forget(ids(1))
    living.add(0, spawn(1) + spawn(2) + spawn(3))
    living.keep(ids(2, 3))
    living.forget(ids(1, 7, 0, 3))
    assert {0: [2]} == tasks(living)
    living.add(0, spawn(1))
    living.keep(ids(2))
    assert {0: [1, 2]} == tasks(living)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_tasks_is_bounded(kind: Any) -> None:
    """Those that find no room are counted; there is room again when one has ended."""
    living = kind(2)
    living.add(0, spawn(1) + spawn(2) + spawn(3) + step(1, RETURNED) + spawn(4))

    assert ({0: [2, 4]}, 1) == (tasks(living), living.untold)
    with pytest.raises(ValueError, match="expected a number of tasks, got -1"):
        kind(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_whose_end_was_lost_is_forgotten(kind: Any) -> None:
    """When it is missing twice: once alone, its end may still be in a ring."""
    living = kind(10)
    living.add(0, spawn(1) + spawn(2) + spawn(3))
    living.keep(ids(1, 2))
    assert {0: [1, 2, 3]} == tasks(living)
    living.keep(ids(1, 3))
    assert {0: [1, 2, 3]} == tasks(living)
    living.keep(ids(1, 3))
    assert {0: [1, 3]} == tasks(living)
    for _ in range(2):
        living.keep(b"")
    assert {} == tasks(living)


@pytest.mark.skipif(native is None, reason="needs both")
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("spawn"), st.integers(0, 3), st.integers(1, 90)),
            st.tuples(st.just("end"), st.integers(0, 3), st.integers(1, 90)),
            st.tuples(st.just("forget"), st.integers(0, 3), st.just(0)),
            st.tuples(st.just("gone"), st.just(0), st.integers(1, 90)),
            st.tuples(st.just("keep"), st.just(0), st.integers(1, 8)),
        ),
        max_size=300,
    ),
    st.sampled_from([0, 5, 1000]),
)
def test_natively_as_in_python(actions: list[tuple[str, int, int]], most: int) -> None:
    """Whatever begins, ends, is missing or goes with its lane, in any order."""
    assert native is not None
    both: list[Any] = [native.Living(most), Twin(most)]
    number = count(1)
    begun: list[int] = []
    for what, lane, value in actions:
        if what == "spawn":
            begun.append(next(number))
        chosen = begun[value % len(begun)] if begun else 1
        for living in both:
            if what == "spawn":
                living.add(lane, spawn(begun[-1]))
            elif what == "end":
                living.add(lane, step(chosen, RETURNED))
            elif what == "forget":
                living.forget_lane(lane)
            elif what == "gone":
                living.forget(ids(chosen, value))
            else:
                living.keep(ids(*begun[::value]))
        assert both[0].spawns() == both[1].spawns()
        assert (len(both[0]), both[0].untold) == (len(both[1]), both[1].untold)


async def service(dumps: int) -> None:
    """Some tasks that live through several segments, many that do not."""

    async def lives(event: asyncio.Event) -> None:
        await event.wait()

    async def comes_and_goes() -> None:
        await asyncio.sleep(0)

    from tachograph import recorder

    event = asyncio.Event()
    tasks = [asyncio.create_task(lives(event), name=f"living {n}") for n in range(3)]
    for _ in range(dumps):
        await asyncio.gather(*(comes_and_goes() for _ in range(20)))
        recorder.dump()
    event.set()
    await asyncio.gather(*tasks)


def places(trace: Trace) -> dict[int, str]:
    """Where the tasks are from that have steps, by their number."""
    stepped = {s.task for s in trace.steps if not s.flags & CALLBACK}
    return {n: (trace.tasks[n].location or "?").rpartition(".")[2] for n in stepped}


def test_each_segment_is_read_alone(tmp_path: Path) -> None:
    """Each task that has a step in it has its place, its maker, and when it began."""
    it, home = start(tmp_path)
    asyncio.run(service(4))
    it.close()
    traces = [read_file(path, strict=True) for path in segments(home)]

    assert 5 == len(traces)
    for trace in traces:
        assert "?" not in places(trace).values()
        assert {} == dict(trace.forgiven)
    last = traces[-1]
    lived = [n for n, place in places(last).items() if place == "lives"]
    assert 3 == len(lived)
    first = traces[0]
    for number in lived:
        task, before = last.tasks[number], first.tasks[number]
        assert task.began_before
        assert not before.began_before
        assert (before.spawn_ns, before.parent, before.lane, before.location) == (
            *(task.spawn_ns, task.parent, task.lane, task.location),
        )
    # What has ended is told no more, what is told again is no spawn.
    assert [0, 4, 4, 4, 4] == [sum(t.began_before for t in each.tasks.values()) for each in traces]
    assert {"main", "lives", "service"} >= {
        place for n, place in places(last).items() if last.tasks[n].began_before
    }


def test_read_together_each_task_begins_once(tmp_path: Path) -> None:
    """In whatever order: the spawn itself wins over what tells it again."""
    it, home = start(tmp_path)
    asyncio.run(service(3))
    it.close()
    paths = segments(home)
    for order in (paths, paths[::-1]):
        joined = tmp_path / "joined.bin"
        joined.write_bytes(b"".join(map(read_bytes, order)))
        trace = read_file(joined)
        assert [] == [task for task in trace.tasks.values() if task.began_before]
        # Two are of `asyncio.run`, at its end.
        assert 3 * 20 + 3 + 1 + 2 == sum(t.spawn_ns is not None for t in trace.tasks.values())


def test_a_task_outlives_a_recording(tmp_path: Path) -> None:
    """The next recording of the process tells where it is from."""

    async def main() -> Path:
        it, _ = start(tmp_path)
        task = asyncio.create_task(asyncio.sleep(0.02))
        await asyncio.sleep(0)
        it.close()
        it, home = start(tmp_path)
        await task
        it.close()
        return home

    (path,) = segments(asyncio.run(main()))
    assert {"sleep", "main"} == set(places(read_file(path)).values())


def test_tasks_of_a_lane_that_ended_are_told_no_more(tmp_path: Path) -> None:
    """A thread that ended with its loop leaves nothing that lives."""
    it, home = start(tmp_path)
    left: list[Any] = []
    lanes, living = it.statistics()["lanes"], it.statistics()["tasks_living"]

    async def stays() -> None:
        await asyncio.Event().wait()

    def run() -> None:
        loop = asyncio.new_event_loop()
        left.append(loop.create_task(stays()))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for _ in range(3_000):  # the system's thread ends a little later than Python's
        it.flush()
        if it.statistics()["lanes"] == lanes:
            break
        time.sleep(0.01)
    assert living == it.statistics()["tasks_living"]
    it.dump()
    asyncio.run(asyncio.sleep(0))
    it.close()
    trace = read_file(segments(home)[-1])
    left[0]._log_destroy_pending = False

    assert "stays" not in {(t.location or "").rpartition(".")[2] for t in trace.tasks.values()}


def test_more_tasks_than_a_small_segment_has_room_for(tmp_path: Path) -> None:
    """A head takes a quarter of a segment at most: the newest tasks, the others are counted."""
    room = 65_536 // 4 // 12

    async def main() -> None:
        tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(room + 500)]
        await asyncio.sleep(0)
        it.dump()
        newest.update(core.task_id(task) for task in tasks[-10:])
        for task in tasks[-10:]:
            task.cancel()
        await asyncio.wait(tasks[-10:])
        dumped.append(it.dump())

    newest: set[int | None] = set()
    dumped: list[Path | None] = []
    it, home = start(tmp_path, max_file_bytes=65_536, max_total_bytes=2**22)
    asyncio.run(main())
    it.close()
    told = it.statistics()
    traces = [read_file(path) for path in segments(home)]

    assert told["tasks_untold"] > 0
    heads = [sum(t.began_before for t in trace.tasks.values()) for trace in traces]
    assert max(heads) == room
    (path,) = dumped
    assert path is not None
    last = read_file(path if path.exists() else f"{path}.gz").tasks
    assert ["sleep"] * 10 == [(last[n or 0].location or "?").rpartition(".")[2] for n in newest]
    assert all(path.stat().st_size <= 2 * 65_536 for path in segments(home))
    assert core.table_sizes()["tasks_untracked"] == 0
