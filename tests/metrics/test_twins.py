"""Native records and their twins in Python write the same bytes.

The twin runs in a process of its own, told by TACHO_PURE; both run the same seeded records of
random classes under a clock that stands still.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys

import pytest

import tachograph as tg
from tachograph._base.clock import clock
from tachograph._core import native
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import QueueSink

PROGRAM = r"""
import enum, json, random, sys
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID
import tachograph as tg
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach, statistics
from tachograph.sinks import QueueSink
from tachograph.testing import FakeClock

rng = random.Random(int(sys.argv[1]))

class Color(enum.Enum):
    RED_ISH = 1
    Blue = 2

COUNTER = tg.Counter()
KINDS = {
    "int": (int, lambda: rng.choice([0, 1, -5, 10**15, 2**63, 2**70, -2**70, True, "x", None])),
    "float": (float, lambda: rng.choice([0.0, -0.0, 1.5, 1e-7, 1e21, 1e16, float("nan"),
                                         float("inf"), 3, "x", 0.1, 123456.789])),
    "str": (str, lambda: rng.choice(["", "a", 'q"uo', "é\n", "\ud800", "x" * 5000, "\0", 5])),
    "bool": (bool, lambda: rng.choice([True, False, 1])),
    "enum": (Color, lambda: rng.choice([Color.RED_ISH, Color.Blue, "RED"])),
    "optional": (int | None, lambda: rng.choice([None, 3])),
    "list": (list[str], lambda: rng.choice([[], ["a", None], ["x"] * 300, "no"])),
    "decimal": (Decimal, lambda: rng.choice([Decimal("0.10"), Decimal("1E+2"), Decimal("NaN")])),
    "timedelta": (timedelta, lambda: rng.choice([timedelta(microseconds=170), timedelta(0), 3])),
    "datetime": (datetime, lambda: rng.choice([datetime(2024, 1, 1, tzinfo=timezone.utc),
                                               datetime(2024, 1, 1)])),
    "uuid": (UUID, lambda: rng.choice([UUID(int=5), "u"])),
    "quantity": (tg.Quantity, lambda: rng.choice([tg.Unit.KILOBYTES(2), tg.Unit.SECONDS(1), 5])),
}
DEFAULTS = {"int": 0, "float": 0.0, "str": "", "bool": False, "enum": Color.Blue, "optional": None,
            "decimal": Decimal(1), "quantity": tg.Unit.BYTES(1), "timedelta": timedelta(0),
            "uuid": UUID(int=1), "datetime": datetime(2020, 1, 1, tzinfo=timezone.utc)}
STYLES = ["preserve", "snake_case", "kebab-case", "camelCase", "PascalCase", "SCREAMING_SNAKE_CASE"]

def make_class(name, depth):
    namespace, annotations, values = {}, {}, {}
    for i in range(rng.randrange(0, 7)):
        kind = rng.choice(list(KINDS))
        field = f"{kind}_f{name}{i}".lower()
        annotations[field] = KINDS[kind][0]
        if kind == "list":
            namespace[field] = tg.metric(default_factory=list)
        elif depth > 0 or rng.random() < 0.7:
            namespace[field] = tg.metric(DEFAULTS[kind]) if kind != "int" else tg.metric(
                0, as_property=rng.random() < 0.5)
        values[field] = kind
    def instrument(kind):
        return f"{kind}_{name}".lower()
    if rng.random() < 0.5:
        unit = rng.choice([tg.Unit.MILLISECONDS, tg.Unit.SECONDS])
        namespace[instrument("timer")] = tg.timer(unit=unit)
    if rng.random() < 0.5:
        namespace[instrument("watch")] = tg.stopwatch(unit=tg.Unit.MICROSECONDS)
    if rng.random() < 0.3 and depth == 0:
        namespace[instrument("gauge")] = tg.gauge(COUNTER)
    if rng.random() < 0.3:
        namespace[instrument("outcome")] = tg.outcome()
    children = []
    if depth < 2:
        for i in range(rng.randrange(0, 3)):
            child, child_values, below = make_class(f"{name}{i}", depth + 1)
            field = f"child_{name}{i}".lower()
            annotations[field] = child
            namespace[field] = tg.slot(flatten=rng.random() < 0.5)
            children.append((field, child_values, below, f"watch_{name}{i}".lower()))
    body = type(tg.WideEvent).__prepare__(name, (tg.WideEvent,))
    body["__module__"] = __name__
    for field, annotation in annotations.items():
        body["__annotations__"][field] = annotation
    for field, value in namespace.items():
        body[field] = value
    cls = type(tg.WideEvent)(name, (tg.WideEvent,), body, rename=rng.choice([None, *STYLES]))
    return cls, values, children

def play(record, values, children, watch, clock):
    for field, kind in values.items():
        if rng.random() < 0.7:
            setattr(record, field, KINDS[kind][1]())
    if hasattr(type(record), watch) and rng.random() < 0.7:
        with getattr(record, watch):
            clock.advance(rng.random() / 100)
        if rng.random() < 0.3:
            span = getattr(record, watch).start()
            clock.advance(0.001)
            rng.choice([span.stop, span.discard, span.overwrite, lambda: None])()
    for field, child_values, below, child_watch in children:
        play(getattr(record, field), child_values, below, child_watch, clock)

lines = []
class Target:
    def write(self, block): lines.append(bytes(block)); return len(block)
    def flush(self): pass
    def close(self): pass

sink = QueueSink(Target(), name="twins")
emf = Emf(EmfConfig(namespaces=["A", "B"], dimensions=[[], ["service_name"]],
                    globals={"service_name": "twins"}))
format = emf if int(sys.argv[1]) % 2 else FlatJson({"service_name": "twins"})
sampler = tg.Sampling(0.3, seed=1) if int(sys.argv[1]) % 3 == 0 else None
attach([Destination(format, sink, sampler=sampler)])
with FakeClock() as clock:
    for number in range(int(sys.argv[2])):
        try:
            cls, values, children = make_class(f"R{number}", 0)
        except tg.errors.DeclarationError:
            continue
        for _ in range(6):
            required = {f: DEFAULTS.get(k) for f, k in values.items() if k != "list"}
            record = cls(**required)
            try:
                with record:
                    clock.advance(rng.random())
                    assert cls.current() is record
                    play(record, values, children, f"watch_{cls.__name__}".lower(), clock)
                    if rng.random() < 0.1:
                        record.discard()
                    if rng.random() < 0.1:
                        raise ValueError("on purpose")
            except ValueError:
                pass
sink.flush()
detach()
assert 0 == COUNTER.value
sys.stdout.buffer.write(b"".join(lines))
json.dump({**statistics.counts(), **asdict(format.tally)}, sys.stderr)
"""


def play(seed: int, *, pure: bool) -> tuple[bytes, dict[str, int]]:
    """Run the records of *seed*; return their lines and the counts."""
    environ = {k: v for k, v in os.environ.items() if k != "TACHO_PURE"}
    if pure:
        environ["TACHO_PURE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), "150"],
        capture_output=True,
        env=environ,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr.decode()
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(native is None, reason="the native core is not built")
@pytest.mark.parametrize("seed", range(6))
def test_the_twins_write_the_same_bytes(seed: int) -> None:
    """Random classes and values, right and wrong, sampled or not: the same lines and counts."""
    lines, counts = play(seed, pure=False)
    twin_lines, twin_counts = play(seed, pure=True)

    assert lines.count(b"\n") > 100
    assert hashlib.sha256(lines).hexdigest() == hashlib.sha256(twin_lines).hexdigest(), next(
        (a, b) for a, b in zip(lines.splitlines(), twin_lines.splitlines(), strict=False) if a != b
    )
    assert counts == twin_counts


@pytest.mark.skipif(native is None, reason="the native core is not built")
def test_a_line_that_is_longer_than_its_reserved_room_does_not_stop_the_queue() -> None:
    """What turns out to be unusual after room was made is written by Python, in its order."""
    written: list[bytes] = []

    class Target:
        def write(self, block: bytes) -> int:
            written.append(block)
            return len(block)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    class Wide(tg.WideEvent):
        text: str = ""

    sink = QueueSink(Target(), name="wide")
    attach([Destination(FlatJson(), sink)])
    try:
        for size in (1, 70_000, 3_000, 100_000, 2):
            for _ in range(30):
                Wide(text="x" * size).emit()
        assert sink.flush()
    finally:
        detach()
        sink.close()

    assert 150 == b"".join(written).count(b"\n")


def test_lines_may_be_taken_while_a_test_tells_the_time() -> None:
    """A clock in Python may let the writer run at each reading; no line is half-written then."""
    taken: list[bytes] = []

    class Target:
        def write(self, block: bytes) -> int:
            taken.append(bytes(block))
            return len(block)

        def flush(self) -> None:
            pass

        def close(self) -> None:
            pass

    class Small(tg.WideEvent):
        number: int = 0

    sink = QueueSink(Target(), name="taken", tick=60.0)

    readings = itertools.count()

    def time_ns() -> int:
        if next(readings) % 2 == 0:  # at the start, where nothing is being written
            return 1_700_000_000_000_000_000
        while (batch := sink.lines.take()) is not None:
            taken.append(batch.data)
            sink.lines.release(len(batch.data))
        return 1_700_000_000_000_000_000

    attach([Destination(Emf(EmfConfig(namespaces=["A"])), sink)])
    clock.replace(monotonic_ns=lambda: 1, time_ns=time_ns)
    try:
        for number in range(20):
            Small(number=number).emit()
    finally:
        clock.reset()
        detach()
        sink.close()

    lines = b"".join(taken).splitlines()
    assert list(range(20)) == [json.loads(line)["number"] for line in lines]
