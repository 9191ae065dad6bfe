"""A Lambda function: one record an invocation, written before the handler returns.

Nothing runs between invocations, so nothing may wait in a queue: the sink writes at once, to
stdout, which is the function's log. CloudWatch makes the metrics from there; no agent, no layer.
"""

import sys
from typing import Any

from records import Operation, OrderMetrics, emf

import tachograph as tg
from tachograph.formats.emf import Emf
from tachograph.metrics import Destination, attach
from tachograph.sinks import ImmediateSink, StreamTarget

# Once a sandbox, not once an invocation.
attach([Destination(Emf(emf("orders")), ImmediateSink(StreamTarget(sys.stdout.buffer)))])


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take one order. `context` brings the id by which the log can be searched."""
    request_id = getattr(context, "aws_request_id", "unknown")
    with OrderMetrics(order_id=request_id, operation=Operation.Place) as record:
        record.body_size = tg.Unit.BYTES(len(event.get("body") or ""))
        record.items = int(event.get("items", 1))
        record.status = "done"
        return {"statusCode": 200}
