"""The service that `tacho new` makes, and the renderer that makes it (extra `new`)."""

from tachograph.scaffold.names import Project
from tachograph.scaffold.render import render_service

__all__ = ["Project", "render_service"]
