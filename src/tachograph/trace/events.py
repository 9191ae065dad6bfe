"""The built-in events as data: names, fields in wire order, types.

A line of a table is `name: field type, field type …`; a type with `?` is optional, one with `*` is
mandatory for dial9's readers, and what stands behind `|` is ours: readers that do not know it
ignore it. The meaning of each is in `docs/format.md`.
"""

from __future__ import annotations

from types import MappingProxyType

from tachograph.trace.schema import Field, FieldType, Schema

__all__ = ["DIAL9", "EVENTS", "MANDATORY"]

TYPES = {
    "V": FieldType.VARINT,
    "U8": FieldType.U8,
    "U16": FieldType.U16,
    "U32": FieldType.U32,
    "B": FieldType.BOOL,
    "F": FieldType.F64,
    "S": FieldType.STRING,
    "PS": FieldType.POOLED_STRING,
    "PK": FieldType.POOLED_STACK,
    "M": FieldType.STRING_MAP,
    "X": FieldType.BYTES,
}

DIAL9_TABLE = """
PollStartEvent: worker_id V*, local_queue U8*, task_id V*, spawn_loc PS | flags U8
PollEndEvent: worker_id V*
WorkerParkEvent: worker_id V*, local_queue U8*, cpu_time_ns V*, tid U32
WorkerUnparkEvent: worker_id V*, local_queue U8*, cpu_time_ns V*, sched_wait_ns V*, tid U32 | gil_wait_ns V?, ready_events V?
QueueSampleEvent: global_queue U8*
RuntimeMetricsEvent: runtime_name PS*, global_queue_depth U32*, alive_tasks U32*
TaskSpawnEvent: task_id V*, spawn_loc PS, instrumented B | worker_id V?, parent_task_id V?, task_name PS?
TaskTerminateEvent: task_id V* | outcome U8
WakeEventEvent: waker_task_id V*, woken_task_id V*, target_worker U8*
CpuSampleEvent: worker_id V*, tid U32*, source U8*, thread_name PS?, callchain PK*, cpu V? | task_id V?, blocked_in PS?
TaskDumpEvent: task_id V*, callchain PK* | awaiting PS?, awaited_task V?
TaskSampleEvent: task_id V, callchain PK, inclusion_probability F
AllocEvent: tid U32*, size V*, addr V, callchain PK
FreeEvent: tid U32*, addr V, size V*, alloc_timestamp_ns V*
MemoryProfileOverflowEvent: dropped_allocs V, dropped_frees V
ProcessResourceUsageEvent: user_cpu_ns V, system_cpu_ns V, max_rss_bytes V, minor_faults V, major_faults V, block_input_ops V, block_output_ops V, voluntary_context_switches V, involuntary_context_switches V
TcpAcceptQueueEvent: socket_cookie V, socket_inode V, ip_version U8, local_addr S, local_port U16, pending_connections U32, backlog_limit U32
ClockSyncEvent: realtime_ns V*
SegmentMetadataEvent: entries M*
SymbolTableEntry: addr V*, size V, symbol_name PS*, inline_depth V, source_file PS, source_line V
"""  # noqa: E501 -- a row is a row

TACHO_TABLE = """
tacho:GcPause: worker_id V, tid U32, task_id V, duration_ns V, generation U8, collected V, uncollectable V
tacho:GilWait: worker_id V, tid U32, duration_ns V, kind U8
tacho:GilHolder: worker_id V, tid U32, task_id V, waited_ns V, callchain PK
tacho:BlockedStep: worker_id V, tid U32, task_id V, step_start_ns V, elapsed_ns V, sequence U16, callchain PK
tacho:ExecutorJob: task_id V, tid U32, pool PS, function PS, queue_ns V?, run_ns V, outcome U8
tacho:ExecutorPool: pool PS, limit V?, running V, waiting V
tacho:LateTimer: worker_id V, task_id V, late_ns V, callback PS
tacho:TaskError: task_id V, error_type PS, location PS?, retrieved B
tacho:TaskHygiene: kind PS, task_id V, spawn_loc PS?
tacho:BlockingCall: worker_id V, tid U32, task_id V, duration_ns V, call PS, detail PS?, callchain PK
tacho:ImportTime: worker_id V, task_id V, duration_ns V, module PS, callchain PK
tacho:PythonGauges: gc_gen0 V, gc_gen1 V, gc_gen2 V, threads V, tasks V, ready_queue V, executor_queue V, rss_bytes V, open_files V?, load_1m F?
tacho:Cgroup: version U8, memory_limit V?, memory_used V?, cpu_limit F?, periods V?, throttled_periods V?, throttled_ns V?
tacho:Process: kind PS, value V
tacho:Steps: lane V, sequence V, shift U8, count V, base V, starts X, durations X, queued X, shapes X, literals X
tacho:Parks: lane V, sequence V, shift U8, count V, base V, starts X, waits X, locks X, files X
tacho:Spawns: lane V, sequence V, shift U8, count V, base V, times X, shapes X, literals X
tacho:Checkpoints: lane V, sequence V, shift U8, count V, base V, times X, cpu X, waited X
tacho:Living: lane V, shift U8, count V, base V, times X, shapes X, literals X
tacho:Requests: count V, base V, series X, ids X, ends X, durations X, tasks X, shapes X, table X, texts X
tacho:Name: kind U8, number V, text PS
tacho:Stack: number V, frames PK
tacho:Lane: lane V, tid V, loop PS
tacho:OpenStep: lane V, task V, start_ns V, flags V
"""  # noqa: E501


def _schemas(table: str) -> dict[str, Schema]:
    return {schema.name: schema for schema in map(_schema, table.strip().splitlines())}


def _schema(line: str) -> Schema:
    name, _, fields = line.rpartition(": ")
    return Schema(name, tuple(map(_field, fields.replace(" |", ",").split(", "))))


def _field(text: str) -> Field:
    name, kind = text.split()
    return Field(name, TYPES[kind.rstrip("?*")], kind.endswith("?"))


def _mandatory(line: str) -> tuple[str, frozenset[str]]:
    name, _, fields = line.rpartition(": ")
    standard = fields.partition(" | ")[0].split(", ")
    return name, frozenset(f.split()[0] for f in standard if f.endswith("*"))


DIAL9 = MappingProxyType(_schemas(DIAL9_TABLE))
"""dial9's events with our further fields behind theirs."""

MANDATORY = MappingProxyType(dict(map(_mandatory, DIAL9_TABLE.strip().splitlines())))
"""The fields without which dial9's readers do not take an event."""

EVENTS = MappingProxyType({**DIAL9, **_schemas(TACHO_TABLE)})
"""Every event that we write by its name."""
