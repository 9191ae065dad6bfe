"""Questions over what many processes wrote: wide events as tables (extra `query`)."""

from tachograph.fleet.events import Record, Skipped, WideEvents
from tachograph.fleet.query import Column, Result
from tachograph.fleet.sources import Sources

__all__ = ["Column", "Record", "Result", "Skipped", "Sources", "WideEvents"]
