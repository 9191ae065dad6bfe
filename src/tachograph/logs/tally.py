"""What the log path counts: every place where it may lose something."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LogStatistics", "Tally"]


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Counts since `setup`.

    Attributes:
        lines: Handed to the sink.
        message_errors: Messages written unformatted, because the arguments did not fit or the
            message had no text. The line's `_errors` says why.
        field_errors: Fields whose value has no text and that say `<unprintable ...>` instead.
        truncated: Lines with a part cut or left out; their `_truncated` names it.
        recursive: Lines not written since they came from writing a line that came from writing ...
        lost: Lines not written for any other reason.
    """

    lines: int
    message_errors: int
    field_errors: int
    truncated: int
    recursive: int
    lost: int


class Tally:
    """The running counts; incremented without a lock, which a signal handler could wait for."""

    __slots__ = ("field_errors", "lines", "lost", "message_errors", "recursive", "truncated")

    def __init__(self) -> None:
        self.lines = self.message_errors = self.field_errors = 0
        self.truncated = self.recursive = self.lost = 0

    def snapshot(self) -> LogStatistics:
        """Return the counts of this moment."""
        return LogStatistics(
            lines=self.lines,
            message_errors=self.message_errors,
            field_errors=self.field_errors,
            truncated=self.truncated,
            recursive=self.recursive,
            lost=self.lost,
        )
