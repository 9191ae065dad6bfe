"""Putting the latest sample of the runtime or the process into other records.

A request's record then says how its loop was at the time, so that slow requests need no join with
another record. The sample is shared and read when the record closes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from tachograph.metrics.fields import LatestSpec

if TYPE_CHECKING:
    from tachograph.metrics.record import WideEvent

__all__ = ["Board", "latest"]

_NOTHING: dict[str, Any] = {}


class Board:
    """Where the latest sample hangs: one for all, or one for each thread that runs a loop.

    Args:
        by_thread: Whether a reader sees only what belongs to its own thread.
    """

    def __init__(self, *, by_thread: bool = False) -> None:
        self._by_thread = by_thread
        self._samples: dict[int, dict[str, Any]] = {}

    def put(self, sample: dict[str, Any], thread: int = 0) -> None:
        """Hang up *sample* in place of the last one, for *thread* if readers see only their own."""
        self._samples[thread] = sample

    def clear(self, thread: int | None = None) -> None:
        """Take down the sample of *thread*, or all."""
        if thread is None:
            self._samples.clear()
        else:
            self._samples.pop(thread, None)

    def sample(self) -> Mapping[str, Any] | None:
        """Return the sample that readers on this thread see."""
        found = self._samples.get(threading.get_ident() if self._by_thread else 0)
        return None if found is None else MappingProxyType(found)

    def reader(self, name: str) -> Callable[[object], Any]:
        """Return the function that reads one value of the sample, whatever it is given."""
        samples = self._samples.get
        if not self._by_thread:
            return lambda _record: samples(0, _NOTHING).get(name)
        here = threading.get_ident
        return lambda _record: samples(here(), _NOTHING).get(name)


def latest(
    record: type[WideEvent], *fields: str, prefix: str | None = None, doc: str = ""
) -> Mapping[str, Any] | None:
    """Write fields of the latest `RuntimeMetrics` or `ProcessMetrics` into this record.

    They are read when the record closes and stand under their own names, in this record's style;
    absent before the first sample. Those of `RuntimeMetrics` are of the loop on whose thread the
    record closes. Reading the attribute gives the whole sample, or None.

    Args:
        record: `tachograph.RuntimeMetrics` or `tachograph.ProcessMetrics`.
        fields: Names of its fields; each costs every record about a tenth of a microsecond.
        prefix: What to put before the names, in the style of this record.
        doc: What the attribute means, for readers of the source.
    """
    return cast(
        "Mapping[str, Any] | None",
        LatestSpec(None, doc, record=record, fields=fields, prefix=prefix),
    )
