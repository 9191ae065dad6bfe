"""The errors tachograph raises, each also the builtin a caller would expect.

Declarations and configuration raise early, with everything that is wrong at once. At run time
telemetry never raises into the application, so none of these comes out of a request.
"""

from __future__ import annotations

__all__ = ["CommandError", "ConfigError", "DeclarationError", "TachographError", "TraceFormatError"]


class TachographError(Exception):
    """Any error that tachograph raises on purpose."""


class DeclarationError(TachographError, TypeError):
    """A `WideEvent` class, field or middleware is declared wrongly; lists every problem."""


class ConfigError(TachographError, ValueError):
    """A setting is invalid; lists every problem."""


class CommandError(TachographError):
    """A command cannot do what was asked; the message says what to do instead.

    Args:
        message: Full sentences for the person at the terminal.
        exit_code: 1 for an error, 2 for wrong usage.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class TraceFormatError(TachographError, ValueError):
    """Bytes are not the trace they should be, or values do not fit the trace they are meant for.

    Args:
        message: What was expected, what was found.
        offset: Where in the input the frame begins that cannot be read; `None` while writing.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} At byte {offset}.")
        self.offset = offset
