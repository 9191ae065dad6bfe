"""The wire format of traces: to bytes, from bytes, and the model that both profiles map to.

    schema   what a stream can hold          encode   events to batches of bytes
    events   the built-in events as data     decode   bytes to events
    delta    the columns of blocks           assemble events to a `Trace`
    compact  blocks of the recorder          pack     a `Trace` to blocks
    dial9    a `Trace` as dial9 reads it     files    paths to bytes

No part of it does I/O but `files`, and none needs asyncio: a laptop reads a trace.
"""

from tachograph.errors import TraceFormatError
from tachograph.trace.assemble import assemble
from tachograph.trace.decode import Decoder
from tachograph.trace.encode import Encoder
from tachograph.trace.model import Trace
from tachograph.trace.schema import Annotation, Event, Field, FieldType, Schema

__all__ = [
    "Annotation",
    "Decoder",
    "Encoder",
    "Event",
    "Field",
    "FieldType",
    "Schema",
    "Trace",
    "TraceFormatError",
    "assemble",
]
