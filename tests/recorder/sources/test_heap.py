"""The heap: what is sampled, how often, with which stack, and what is left when it is freed."""

from __future__ import annotations

import ctypes
import gc
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.recorder.sources.heaps import BLOCK, HEAD, by_function, f, functions, g, take

from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources.heap import Heap
from tachograph.recorder.symbols import symbols
from tachograph.trace.heap import allocated, live, weight
from tachograph.trace.schema import Event

pytestmark = pytest.mark.skipif(not is_native, reason="the native core is not built")

MIB = 2**20

# ctypes.pythonapi holds the GIL, as whoever calls these functions must.
api: Any = ctypes.pythonapi
for name, arguments in {
    "PyMem_Malloc": 1,
    "PyMem_RawMalloc": 1,
    "PyObject_Malloc": 1,
    "PyMem_Calloc": 2,
    "PyObject_Calloc": 2,
}.items():
    getattr(api, name).restype = ctypes.c_void_p
    getattr(api, name).argtypes = [ctypes.c_size_t] * arguments
for name in ("PyMem_Realloc", "PyObject_Realloc"):
    getattr(api, name).restype = ctypes.c_void_p
    getattr(api, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t]
for name in ("PyMem_Free", "PyObject_Free", "PyMem_RawFree"):
    getattr(api, name).restype = None
    getattr(api, name).argtypes = [ctypes.c_void_p]


# ------------------------------------------------------------------ how often

REFERENCE = [(1, MIB), (64, 16_384), (1024, 1024), (65_536, 16), (MIB, 1)]


@pytest.mark.parametrize(("size", "count"), REFERENCE)
def test_the_reference_check(size: int, count: int) -> None:
    """R = 512, 1 MiB in all: the estimate is within 0.6 %, and exact where all are sampled."""
    sampled = core.heap_feed(512, 13, size, count)
    estimate = sampled * size * weight(size, 512)

    assert abs(estimate / MIB - 1) < 0.006
    if size >= 65_536:
        assert (count, MIB) == (sampled, round(estimate))


@pytest.mark.parametrize(("size", "count"), REFERENCE)
def test_no_seed_is_special(size: int, count: int) -> None:
    """Over many seeds the mean is as near, and each is as far off as chance says."""
    chance = 1 / weight(size, 512)
    deviation = (count * chance * (1 - chance)) ** 0.5
    off = [core.heap_feed(512, seed, size, count) - count * chance for seed in range(100)]

    assert abs(sum(off) / len(off)) <= 0.006 * count * chance
    assert max(map(abs, off)) <= 4.5 * deviation + 0.006 * count * chance
    if deviation > 1:
        spread = (sum(each**2 for each in off) / len(off)) ** 0.5
        assert 0.75 < spread / deviation < 1.25


def test_a_mean_of_one_byte_samples_each() -> None:
    """Whatever their size, blocks of no bytes too."""
    assert 1000 == core.heap_feed(1, 7, 0, 1000)
    assert 1000 == core.heap_feed(1, 7, 3, 1000)


def test_no_deficit_is_paid() -> None:
    """One huge block is one sample, and takes no longer than another."""
    assert 1000 == core.heap_feed(1, 7, 2**62, 1000)
    assert 1000 == core.heap_feed(2, 7, 2**63 - 1, 1000)


@pytest.mark.parametrize("rate", [0, 2**37 + 1])
def test_what_makes_no_sense_is_refused(rate: int) -> None:
    """A mean of 0 bytes or beyond 128 GiB, a size that nobody can ask for."""
    with pytest.raises(ValueError, match=r"a mean of 1 to 137438953472 bytes, got \d+"):
        core.heap_feed(rate, 1, 1, 1)
    with pytest.raises(ValueError, match="expected a mean"):
        core.heap_start(rate, 1, False)
    with pytest.raises(ValueError, match="expected a size"):
        core.heap_feed(1, 1, 2**63, 1)


def test_a_start_forgets_the_counts_of_the_last(
    heap: Callable[..., Heap], waiting: EventBuffer
) -> None:
    """A thread that had a long way to go has a new one."""
    heap(10**9)
    f([], 10)
    core.heap_stop()
    source = heap(1)
    f([], 10)

    assert 10 == [event["size"] for event in take(source, waiting)].count(BLOCK)


# ------------------------------------------------------------------ by which stack


def seventy(count: int) -> None:
    """Allocate 7,000 bytes at a time, in two blocks, and drop them."""
    for _ in range(count):
        bytearray(7_000 - HEAD - 1)


def thirty(count: int) -> None:
    """Allocate 300 bytes at a time, in two blocks, and drop them."""
    for _ in range(count):
        bytearray(300 - HEAD - 1)


def test_known_volumes_are_found_by_their_functions(
    heap: Callable[..., Heap], waiting: EventBuffer
) -> None:
    """70 % of 64 MB in one, 30 % in the other, below and above R: within 4 deviations."""
    source = heap(32_768)
    for _ in range(64):  # in turns, so that order plays no part
        seventy(100)
        thirty(1_000)
    usages = allocated(take(source, waiting), 32_768)
    found = by_function(usages)

    for name, total in {"seventy": 64 * 700_000, "thirty": 64 * 300_000}.items():
        assert found[name] == pytest.approx(total, rel=4 * (32_768 / total) ** 0.5)
    assert 1_000 < sum(usage.samples for usage in usages.values()) < 4_096


def test_a_leak_is_found_by_its_stack(heap: Callable[..., Heap], waiting: EventBuffer) -> None:
    """What is not free at the end is what the one function kept; the other freed all of its own."""
    source = heap(2_048, live_set=True)
    kept: list[bytearray] = []
    dropped: list[bytearray] = []
    f(kept, 500)
    f(dropped, 5)
    g(dropped, 5_000)
    dropped.clear()
    found = by_function(live(take(source, waiting), 2_048))

    assert found["f"] == pytest.approx(500 * 7_000, rel=0.04)
    assert 0 == found["g"]
    assert 500 == len(kept)


def test_stacks_are_told_innermost_first(heap: Callable[..., Heap], waiting: EventBuffer) -> None:
    """Each frame with its line."""

    def inner() -> list[bytearray]:
        return [bytearray(100_000), bytearray(100_000), bytearray(100_000)]

    def outer() -> list[bytearray]:
        return inner()

    source = heap(1)
    kept = outer()
    events = [e for e in take(source, waiting) if e.name == "AllocEvent" and e["size"] > 100_000]
    del kept

    assert 3 == len(events)
    names = [name.rpartition(".")[2] for name in functions(events[0]["callchain"])]
    assert ["inner", "outer", "test_stacks_are_told_innermost_first"] == names[:3]
    lines = [symbols.of(address) for address in events[0]["callchain"]]
    assert lines[0] is not None
    assert inner.__code__.co_firstlineno + 1 == lines[0].line


def test_each_thread_has_its_own_count(heap: Callable[..., Heap], waiting: EventBuffer) -> None:
    """A sample tells the system's id of the thread that took it."""
    source = heap(50_000)
    ids: set[int | None] = set()

    def work() -> None:
        ids.add(threading.get_native_id())
        f([], 100)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [e for e in take(source, waiting) if functions(e["callchain"])[:1] == ["f"]]

    assert ids == {event["tid"] for event in events}


@pytest.mark.slow
def test_a_full_table_still_knows_what_it_knew(
    heap: Callable[..., Heap], waiting: EventBuffer
) -> None:
    """After 65,536 places new ones have no frame, counted; the old ones keep theirs."""
    source = heap(4_096)
    f([], 30)
    take(source, waiting)
    code = compile("x = bytes(9_000)\n" * 2_000, "many.py", "exec")
    for number in range(50):
        exec(code.replace(co_name=f"c{number}", co_qualname=f"c{number}"))
        core.heap_take()
    f([], 30)
    found = by_function(allocated(take(source, waiting), 4_096))

    assert source.counts()["heap_frames_full"] > 10_000
    assert found["f"] == pytest.approx(30 * 7_000, rel=0.2)


# ------------------------------------------------------------------ exactly which blocks


def calls(events: list[Event]) -> list[tuple[str, int, int]]:
    """Return kind, address and size of events."""
    return [(event.name[0], event["addr"], event["size"]) for event in events]


@pytest.mark.parametrize("domain", ["PyMem", "PyObject"])
def test_every_way_to_a_block_and_from_it(
    heap: Callable[..., Heap], waiting: EventBuffer, domain: str
) -> None:
    """A change of size is the end of the old block and a new one, only if it succeeds."""
    malloc, calloc, realloc, free = (
        getattr(api, f"{domain}_{name}") for name in ("Malloc", "Calloc", "Realloc", "Free")
    )
    source = heap(1, live_set=True)
    one = malloc(1_234)
    two = calloc(17, 101)
    three = realloc(one, 54_321)
    assert realloc(three, 2**62) is None
    four = realloc(None, 777)
    free(two)
    free(None)
    free(three)
    free(four)
    found = calls(take(source, waiting))
    wanted = [
        ("A", one, 1_234),
        ("A", two, 17 * 101),
        ("F", one, 1_234),
        ("A", three, 54_321),
        ("A", four, 777),
        ("F", two, 17 * 101),
        ("F", three, 54_321),
        ("F", four, 777),
    ]
    sizes = {size for *_, size in wanted}

    assert wanted == [each for each in found if each in wanted or each[2] in sizes - {777}]


def test_an_address_without_a_live_set_is_not_told(
    heap: Callable[..., Heap], waiting: EventBuffer
) -> None:
    """Nor are frees."""
    source = heap(1)
    f([], 3)
    events = take(source, waiting)

    assert {("AllocEvent", 0)} == {(event.name, event["addr"]) for event in events}


def test_the_raw_domain_is_left_alone(heap: Callable[..., Heap], waiting: EventBuffer) -> None:
    """Threads without the GIL use it."""
    source = heap(1, live_set=True)
    at = api.PyMem_RawMalloc(123_457)
    api.PyMem_RawFree(at)

    assert 123_457 not in {size for *_, size in calls(take(source, waiting))}


@pytest.mark.slow
def test_every_sampled_block_that_is_freed_is_seen_freed(
    heap: Callable[..., Heap], waiting: EventBuffer
) -> None:
    """In any order, many at once, at addresses that are given away again and again."""
    source = heap(4_096, live_set=True)
    order = random.Random(3)
    kept: list[bytearray] = []
    events: list[Event] = []
    for _ in range(40):
        f(kept, 300)
        order.shuffle(kept)
        del kept[: order.randrange(len(kept) + 1)]
        events += take(source, waiting)
    kept.clear()
    gc.collect()
    events += take(source, waiting)

    blocks = [event for event in events if event.name == "AllocEvent" and event["size"] == BLOCK]
    ends = [event for event in events if event.name == "FreeEvent" and event["size"] == BLOCK]
    assert len(blocks) == len(ends) > 8_000
    assert 0 == by_function(live(events, 4_096))["f"]
    born = {(event["addr"], event.timestamp_ns) for event in blocks}
    assert born == {(event["addr"], event["alloc_timestamp_ns"]) for event in ends}
    assert (0, 0) == (source.counts()["heap_lost"], source.counts()["heap_live_full"])


@pytest.mark.slow
def test_too_many_at_once_are_counted(heap: Callable[..., Heap], waiting: EventBuffer) -> None:
    """4,096 allocations and 32,768 frees wait at most (recorder.md row 11)."""
    source = heap(1, live_set=True)
    kept: list[bytearray] = []
    for _ in range(25):
        g(kept, 800)
        core.heap_take()
    assert 20_000 == len(kept)
    before = source.counts()["heap_lost"]
    kept.clear()
    for _ in range(5_000):
        bytearray(9)
    told = source.counts()["heap_lost"]
    events = take(source, waiting)

    assert 4_096 == sum(event.name == "AllocEvent" for event in events)
    assert 32_768 == sum(event.name == "FreeEvent" for event in events)
    (overflow,) = (e for e in events if e.name == "MemoryProfileOverflowEvent")
    lost = overflow["dropped_allocs"] + overflow["dropped_frees"]
    assert overflow["dropped_allocs"] > 5_000
    assert overflow["dropped_frees"] > 7_000
    assert 0 <= lost - (told - before) < 20  # those of the two calls between
