"""Structured logs: JSON lines over stdlib logging, which stays the transport of everything.

Whatever goes through stdlib `logging` (uvicorn, libraries, warnings, user code) arrives in one
stream with the request's context on each line. `get_logger` adds fields in structlog's manner;
structlog itself takes the same path (`structlog_config`).
"""

from tachograph.logs.capture import Observer, add_capture, remove_capture
from tachograph.logs.context import bind_context, context, current_context, reset_context
from tachograph.logs.directives import Directives
from tachograph.logs.logger import BoundLogger, get_logger
from tachograph.logs.pipeline import LogPipeline, setup
from tachograph.logs.structlog_bridge import structlog_config
from tachograph.logs.tally import LogStatistics

__all__ = [
    "BoundLogger",
    "Directives",
    "LogPipeline",
    "LogStatistics",
    "Observer",
    "add_capture",
    "bind_context",
    "context",
    "current_context",
    "get_logger",
    "remove_capture",
    "reset_context",
    "setup",
    "structlog_config",
]
