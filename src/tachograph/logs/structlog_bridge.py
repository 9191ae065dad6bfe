"""structlog as a front end: its events take the path of every other line."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from tachograph.logs.logger import FIELDS

__all__ = ["structlog_config"]


def structlog_config() -> dict[str, Any]:
    """Return the arguments for `structlog.configure` that send its events through stdlib logging.

    Levels, context, encoding and sink are then those of all other lines; structlog's own
    `contextvars` are merged as well.

    Raises:
        ImportError: structlog is not installed: `pip install 'tachograph[structlog]'`.

    Example:
        structlog.configure(**structlog_config())
    """
    try:
        import structlog
    except ImportError as error:
        msg = "structlog is not installed. Run `pip install 'tachograph[structlog]'`."
        raise ImportError(msg) from error
    return {
        "processors": [
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            _to_logging,
        ],
        "wrapper_class": structlog.stdlib.BoundLogger,
        "logger_factory": structlog.stdlib.LoggerFactory(),
        "cache_logger_on_first_use": True,
    }


def _to_logging(
    logger: Any, method: str, event_dict: MutableMapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn an event into the arguments of a stdlib logger's method."""
    event = event_dict.pop("event", "")
    arguments: dict[str, Any] = {
        name: event_dict.pop(name) for name in ("exc_info", "stack_info") if name in event_dict
    }
    return (str(event),), {**arguments, "extra": {FIELDS: dict(event_dict)}}
