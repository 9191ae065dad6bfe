"""ASGI middlewares, and `stack()` that puts them in the one right order.

Pure ASGI: they work with Starlette, FastAPI, Litestar and a bare application; nothing is buffered,
and websockets and lifespan pass through untouched.
"""

from tachograph.asgi.options import Options
from tachograph.asgi.rate_limit import RateLimit
from tachograph.asgi.stack import ORDER, stack
from tachograph.asgi.state import ErrorKind, request_id, set_error_kind

__all__ = ["ORDER", "ErrorKind", "Options", "RateLimit", "request_id", "set_error_kind", "stack"]
