"""An independent reader that checks a file against the rules of the dial9 profile.

It shares no code with the package: it parses the bytes itself, as a reader of dial9's would, and
returns a sentence for each rule that the file breaks. It stands in for dial9's own toolkit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

BASE_2020 = 1_577_836_800_000_000_000
BUILT_IN = {
    "PollStartEvent": "worker_id:9 local_queue:11 task_id:9 spawn_loc:7",
    "PollEndEvent": "worker_id:9",
    "WorkerParkEvent": "worker_id:9 local_queue:11 cpu_time_ns:9 tid:13",
    "WorkerUnparkEvent": "worker_id:9 local_queue:11 cpu_time_ns:9 sched_wait_ns:9 tid:13",
    "QueueSampleEvent": "global_queue:11",
    "TaskSpawnEvent": "task_id:9 spawn_loc:7 instrumented:3",
    "TaskTerminateEvent": "task_id:9",
    "WakeEventEvent": "waker_task_id:9 woken_task_id:9 target_worker:11",
    "CpuSampleEvent": "worker_id:9 tid:13 source:11 thread_name:135 callchain:6 cpu:137",
    "TaskDumpEvent": "task_id:9 callchain:6",
    "ClockSyncEvent": "realtime_ns:9",
    "SegmentMetadataEvent": "entries:10",
    "SymbolTableEntry": "addr:9 size:9 symbol_name:7 inline_depth:9 source_file:7 source_line:9",
}
TIMELINE = {*list(BUILT_IN)[:5], "WakeEventEvent"}


@dataclass
class Seen:
    """One event: time, name, values by field."""

    time: int
    name: str
    values: dict[str, Any]


@dataclass
class Report:
    """What was read, and which rules were broken."""

    events: list[Seen] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def named(self, *names: str) -> list[Seen]:
        """Return the events of these names in file order."""
        return [event for event in self.events if event.name in names]

    def rule(self, holds: bool, sentence: str) -> None:
        """Note *sentence* unless it *holds*."""
        if not holds:
            self.broken.append(sentence)


class Reader:
    """Parse one file; older readers of dial9 stop where this raises."""

    def __init__(self, data: bytes, report: Report) -> None:
        self.data, self.at, self.report = data, 0, report
        self.schemas: dict[int, tuple[str, list[tuple[str, int]]]] = {}
        self.strings: dict[int, str] = {}
        self.stacks: dict[int, list[int]] = {}
        self.base = 0

    def take(self, form: str) -> Any:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text(self, size: int) -> str:
        self.at += size
        assert self.at <= len(self.data)
        return self.data[self.at - size : self.at].decode()

    def leb(self) -> int:
        value: int = 0
        for shift in range(0, 70, 7):
            byte: int = self.take("B")
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise AssertionError("a number of more than ten bytes")

    def read(self) -> None:
        assert self.data.startswith(b"TRC\0\x01")
        while self.at < len(self.data):
            tag = self.take("B")
            if tag == 0x54:
                assert self.data[self.at : self.at + 4] == b"RC\0\x01"
                self.at += 4
                self.schemas, self.strings, self.stacks, self.base = {}, {}, {}, 0
            elif tag == 5:
                self.base = self.take("Q")
            elif tag == 3:
                for _ in range(self.take("I")):
                    key, size = self.take("II")
                    self.strings[key] = self.text(size)
            elif tag == 4:
                for _ in range(self.take("I")):
                    key, size = self.take("II")
                    self.stacks[key] = [self.take("Q") for _ in range(size)]
            elif tag == 1:
                self.schema()
            elif tag == 2:
                self.event()
            else:
                raise AssertionError(f"Unknown frame tag: {tag:#x}")

    def schema(self) -> None:
        type_id, size = self.take("HH")
        name = self.text(size)
        stamped, count = self.take("BH")
        fields = []
        for _ in range(count):
            field_name = self.text(self.take("H"))
            fields.append((field_name, self.take("B")))
        rule = self.report.rule
        rule(stamped == 1, f"{name}: has_timestamp is 1")
        rule(all(kind & 127 != 1 for _, kind in fields), f"{name}: no I64 fields")
        rule(all(1 <= kind & 127 <= 15 for _, kind in fields), f"{name}: valid types")
        rule(not set(",\t\n") & set(name), f"{name}: no separators in names")
        rule(self.schemas.get(type_id, (name, fields)) == (name, fields), f"{name}: one definition")
        if name in BUILT_IN:
            standard = [tuple(entry.rsplit(":", 1)) for entry in BUILT_IN[name].split()]
            found = [(key, str(kind)) for key, kind in fields[: len(standard)]]
            rule(found == standard, f"{name}: its standard fields first, got {found}")
        self.schemas[type_id] = name, fields

    def event(self) -> None:
        name, fields = self.schemas[self.take("H")]
        low, high = self.take("HB")
        self.base += low | high << 16
        values = {key: self.value(kind) for key, kind in fields}
        self.report.events.append(Seen(self.base, name, values))

    def value(self, kind: int) -> Any:
        if kind & 128:
            prefix = self.take("B")
            self.report.rule(prefix < 2, "an optional prefix is 0 or 1")
            if not prefix:
                return None
        kind &= 127
        if kind == 7:
            key = self.take("I")
            self.report.rule(key in self.strings, "a string is defined before its use")
            return self.strings.get(key)
        if kind == 6:
            key = self.take("I")
            self.report.rule(key in self.stacks, "a stack is defined before its use")
            return self.stacks.get(key)
        if kind in (4, 5):
            size = self.take("I")
            self.at += size
            return self.data[self.at - size : self.at]
        if kind == 8:
            return [self.take("Q") for _ in range(self.take("I"))]
        if kind == 10:
            return {
                self.text(self.take("I")): self.text(self.take("I")) for _ in range(self.take("I"))
            }
        if kind in (14, 15):
            parts = 1 if kind == 14 else 2
            return [self.inner() for _ in range(self.take("I") * parts)]
        return (
            self.leb()
            if kind == 9
            else self.take({1: "q", 2: "d", 3: "?", 11: "B", 12: "H", 13: "I"}[kind])
        )

    def inner(self) -> Any:
        kind = self.take("B")
        self.report.rule(kind not in (0, 1), "no tag 0 and no I64 in lists and maps")
        return self.take("q") if kind == 1 else self.value(kind)


def check(data: bytes) -> Report:
    """Return what *data* holds and which rules it breaks."""
    report = Report()
    try:
        Reader(data, report).read()
    except (AssertionError, KeyError, struct.error, UnicodeDecodeError) as error:
        report.broken.append(f"unreadable: {error}")
    _times(report)
    _lanes(report)
    _tasks(report)
    _texts(report)
    return report


def _times(report: Report) -> None:
    report.rule(bool(report.named(*TIMELINE)), "at least one event of the timeline")
    for event in report.named("SegmentMetadataEvent"):
        report.rule(event.time < BASE_2020, "metadata has monotonic time")
    for event in report.named("SymbolTableEntry"):
        report.rule(event.time == 0, "symbols are stamped 0")
    for event in report.named("ClockSyncEvent"):
        report.rule(event.values["realtime_ns"] > BASE_2020, "anchors are after 2020")
        report.rule(event.time < BASE_2020, "anchors have monotonic time")


def _lanes(report: Report) -> None:
    lanes: dict[int, list[Seen]] = {}
    for event in report.named(
        "PollStartEvent", "PollEndEvent", "WorkerParkEvent", "WorkerUnparkEvent"
    ):
        lanes.setdefault(event.values["worker_id"], []).append(event)
    report.rule(all(lane <= 63 for lane in lanes), "lanes up to 63")
    for lane, events in lanes.items():
        times = [event.time for event in events]
        report.rule(times == sorted(times), f"lane {lane}: time does not step back")
        inside = ""
        for event in events:
            opens = event.name in ("PollStartEvent", "WorkerParkEvent")
            of = "poll" if event.name.startswith("Poll") else "park"
            report.rule(
                (inside == "") if opens else (inside == of),
                f"lane {lane}: {event.name} at {event.time} alternates",
            )
            inside = of if opens else ""


def _tasks(report: Report) -> None:
    lanes = {event.values["worker_id"] for event in report.named("PollStartEvent")}
    known: set[int] = set()
    spawned: dict[int, int] = {}
    for event in report.named("PollStartEvent", "TaskSpawnEvent", "TaskTerminateEvent"):
        task = event.values["task_id"]
        report.rule(1024 <= task < 2**53, f"task id {task} from 1024 and below 2^53")
        report.rule(task > len(lanes), "task ids are larger than the number of lanes")
        if event.name == "TaskSpawnEvent":
            report.rule(task not in spawned, f"task {task} is spawned once")
            spawned[task] = event.time
        if event.name == "TaskTerminateEvent":
            report.rule(event.time >= spawned.get(task, 0), f"task {task}: no end before its spawn")
        else:
            known.add(task)
    polls: dict[int, list[int]] = {}
    for event in report.named("PollStartEvent"):
        polls.setdefault(event.values["task_id"], []).append(event.time)
    for event in report.named("WakeEventEvent"):
        woken = event.values["woken_task_id"]
        report.rule(woken in known, f"woken task {woken} is known")
        target = event.values["target_worker"]
        report.rule(target in lanes or target in (254, 255), f"lane {target} issued a wake")
        caused = any(time >= event.time for time in polls.get(woken, [event.time]))
        report.rule(caused, f"a wake at {event.time} is no later than a start of {woken}")


def _texts(report: Report) -> None:
    for event in report.named("PollStartEvent", "TaskSpawnEvent"):
        location = event.values["spawn_loc"]
        report.rule(bool(location), "every spawn location is resolved and not empty")
        report.rule(not set('<>&"') & set(location or ""), f"no markup in `{location}`")
    symbols: dict[int, Any] = {}
    for event in report.named("SymbolTableEntry"):
        name, file = event.values["symbol_name"], event.values["source_file"]
        report.rule(1 <= name.count("::") <= 2, f"`::` once or twice in `{name}`")
        report.rule(not file.startswith("/"), f"`{file}` is relative")
        report.rule("-1." not in file, f"`{file}` names no version")
        meaning = symbols.setdefault(event.values["addr"], event.values)
        report.rule(meaning == event.values, "an address has one meaning")
