"""Bytes that do not come from our encoder: the vectors of the format's document."""

from __future__ import annotations

from tachograph.trace.schema import Field, FieldType, Schema, Typed

HEADER = bytes.fromhex("54 52 43 00 01")

WORKED = bytes.fromhex(
    """
54 52 43 00 01
01 00 00 0e 00 43 6c 6f 63 6b 53 79 6e 63 45 76 65 6e 74 01 01 00 0b 00 72 65 61 6c 74 69 6d 65
5f 6e 73 09
05 00 10 a5 d4 e8 00 00 00
02 00 00 00 00 00 80 80 cc 9f c2 f0 d6 eb 18
54 52 43 00 01
01 00 00 14 00 53 65 67 6d 65 6e 74 4d 65 74 61 64 61 74 61 45 76 65 6e 74 01 01 00 07 00 65 6e
74 72 69 65 73 0a
05 e8 13 a5 d4 e8 00 00 00
02 00 00 00 00 00 02 00 00 00 07 00 00 00 73 65 72 76 69 63 65 04 00 00 00 64 65 6d 6f
0c 00 00 00 72 75 6e 74 69 6d 65 2e 6d 61 69 6e 01 00 00 00 30
01 01 00 0e 00 43 6c 6f 63 6b 53 79 6e 63 45 76 65 6e 74 01 01 00 0b 00 72 65 61 6c 74 69 6d 65
5f 6e 73 09
02 01 00 00 00 00 e8 87 cc 9f c2 f0 d6 eb 18
54 52 43 00 01
01 00 00 0e 00 57 61 6b 65 45 76 65 6e 74 45 76 65 6e 74 01 03 00 0d 00 77 61 6b 65 72 5f 74 61
73 6b 5f 69 64 09
0d 00 77 6f 6b 65 6e 5f 74 61 73 6b 5f 69 64 09 0d 00 74 61 72 67 65 74 5f 77 6f 72 6b 65 72 0b
05 d0 17 a5 d4 e8 00 00 00
02 00 00 00 00 00 00 07 00
01 01 00 0e 00 50 6f 6c 6c 53 74 61 72 74 45 76 65 6e 74 01 04 00 09 00 77 6f 72 6b 65 72 5f 69
64 09
0b 00 6c 6f 63 61 6c 5f 71 75 65 75 65 0b 07 00 74 61 73 6b 5f 69 64 09 09 00 73 70 61 77 6e 5f
6c 6f 63 07
03 01 00 00 00 00 00 00 00 09 00 00 00 61 70 70 2e 70 79 3a 34 32
02 01 00 10 27 00 00 01 07 00 00 00 00
01 02 00 0e 00 43 70 75 53 61 6d 70 6c 65 45 76 65 6e 74 01 06 00 09 00 77 6f 72 6b 65 72 5f 69
64 09 03 00 74 69 64 0d
06 00 73 6f 75 72 63 65 0b 0b 00 74 68 72 65 61 64 5f 6e 61 6d 65 87 09 00 63 61 6c 6c 63 68 61
69 6e 06 03 00 63 70 75 89
03 01 00 00 00 01 00 00 00 0a 00 00 00 4d 61 69 6e 54 68 72 65 61 64
04 01 00 00 00 00 00 00 00 02 00 00 00 00 10 00 00 00 00 00 00 00 20 00 00 00 00 00 00
02 02 00 40 4b 4c 00 d2 04 00 00 00 01 01 00 00 00 00 00 00 00 00
01 03 00 0c 00 50 6f 6c 6c 45 6e 64 45 76 65 6e 74 01 01 00 09 00 77 6f 72 6b 65 72 5f 69 64 09
05 60 02 6f d6 e8 00 00 00
02 03 00 00 00 00 00
01 04 00 10 00 53 79 6d 62 6f 6c 54 61 62 6c 65 45 6e 74 72 79 01 06 00 04 00 61 64 64 72 09 04
00 73 69 7a 65 09
0b 00 73 79 6d 62 6f 6c 5f 6e 61 6d 65 07 0c 00 69 6e 6c 69 6e 65 5f 64 65 70 74 68 09 0b 00 73
6f 75 72 63 65 5f
66 69 6c 65 07 0b 00 73 6f 75 72 63 65 5f 6c 69 6e 65 09
03 01 00 00 00 02 00 00 00 09 00 00 00 61 70 70 3a 3a 73 6c 6f 77
03 01 00 00 00 03 00 00 00 06 00 00 00 61 70 70 2e 70 79
05 00 00 00 00 00 00 00 00
02 04 00 00 00 00 80 20 00 02 00 00 00 00 03 00 00 00 32
"""
)
"""A clock anchor, metadata and one batch with a step of 30 ms: three streams, 783 bytes."""

WORKED_SHA256 = "a6863cc7dd736d44d4eff418a0fe0ebb0e2f0c701ccccf95cd861fad8acad436"

V, PS, U8 = FieldType.VARINT, FieldType.POOLED_STRING, FieldType.U8

CLOCK = Schema("ClockSyncEvent", (Field("realtime_ns", V),))
METADATA = Schema("SegmentMetadataEvent", (Field("entries", FieldType.STRING_MAP),))
WAKE = Schema(
    "WakeEventEvent",
    (Field("waker_task_id", V), Field("woken_task_id", V), Field("target_worker", U8)),
)
START = Schema(
    "PollStartEvent",
    (Field("worker_id", V), Field("local_queue", U8), Field("task_id", V), Field("spawn_loc", PS)),
)
END = Schema("PollEndEvent", (Field("worker_id", V),))
SAMPLE = Schema(
    "CpuSampleEvent",
    (
        Field("worker_id", V),
        Field("tid", FieldType.U32),
        Field("source", U8),
        Field("thread_name", PS, optional=True),
        Field("callchain", FieldType.POOLED_STACK),
        Field("cpu", V, optional=True),
    ),
)
SYMBOL = Schema(
    "SymbolTableEntry",
    (
        Field("addr", V),
        Field("size", V),
        Field("symbol_name", PS),
        Field("inline_depth", V),
        Field("source_file", PS),
        Field("source_line", V),
    ),
)

ALL_TYPES = Schema(
    "AllTypes",
    tuple(
        Field(name, FieldType(byte & 0x7F), bool(byte & 0x80))
        for name, byte in (
            *(("i", 1), ("f", 2), ("b", 3), ("s", 4), ("raw", 5), ("ps", 6), ("str", 7), ("sf", 8)),
            *(("v", 9), ("m", 10), ("u8", 11), ("u16", 12), ("u32", 13), ("l", 14), ("d", 15)),
            *(("on", 0x89), ("op", 0x89)),
        )
    ),
)
ALL_VALUES = (
    *(-7, 1.5, True, "é", b"\xde\xad", (0x1000, 0xFFFFFFFF81A0B2C3), "hi", (0x2000,), 300),
    *([("k", "v")], 255, 65535, 2**32 - 1, [5, True], [(Typed(U8, 7), "x")], None, 2**64 - 1),
)
ALL_EVENT = bytes.fromhex(
    """
02 00 00 00 00 00 f9 ff ff ff ff ff ff ff 00 00 00 00 00 00 f8 3f 01 02 00 00 00 c3 a9 02 00 00
00 de ad 00 00 00 00 00 00 00 00 01 00 00 00 00 20 00 00 00 00 00 00 ac 02 01 00 00 00 01 00 00
00 6b 01 00 00 00 76 ff ff ff ff ff ff ff 02 00 00 00 09 05 03 01 01 00 00 00 0b 07 04 01 00 00
00 78 00 01 ff ff ff ff ff ff ff ff ff 01
"""
)
