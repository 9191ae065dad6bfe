"""Where the recorder learns what steps do not tell: one file for each source.

A source starts and ends with a recording, takes a turn on the drain's thread, and emits events. One
that cannot work here says why and stays off; one that raises loses that turn's events, counted.
"""

from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.running import Sources

__all__ = ["Sources", "SourcesConfig"]
