"""Structured logs: JSON lines over stdlib logging, with the request's context on each.

stdlib `logging` is the transport: whatever goes through it (uvicorn, libraries, warnings, user code)
arrives in one stream. `get_logger` adds fields in the style of structlog, and structlog itself can
take the same path (`structlog_config`).
"""

from tachograph.logs.capture import add_capture, remove_capture
from tachograph.logs.context import bind_context, context, current_context, reset_context
from tachograph.logs.directives import Directives
from tachograph.logs.logger import BoundLogger, get_logger
from tachograph.logs.pipeline import LogPipeline, setup
from tachograph.logs.structlog_bridge import structlog_config

__all__ = [
    "BoundLogger",
    "Directives",
    "LogPipeline",
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
