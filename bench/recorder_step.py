"""A process that makes empty steps under one tool, or none, and tells what that cost it."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from tools import TOOLS, Tool
from workloads import WORKLOADS

__all__ = ["main"]

WARM_UP = 2_000


async def steps(options: dict[str, Any], tool: Tool) -> tuple[int, int]:
    """Make the steps; return the CPU time at their beginning and at their end."""
    tool.in_loop()
    work = WORKLOADS["empty step"]
    await work(WARM_UP)
    begun = time.process_time_ns()
    await work(options["units"])
    return begun, time.process_time_ns()


def main() -> None:
    """Make as many as the argument says; print JSON."""
    options = json.loads(sys.argv[1])
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").propagate = False
    tool = TOOLS[options["tool"]](options)
    tool.start()
    begun, ended = tool.run(steps(options, tool), "asyncio")
    tool.stop()
    print(json.dumps({"load_ns": ended - begun, "whole_ns": time.process_time_ns() - begun}))
