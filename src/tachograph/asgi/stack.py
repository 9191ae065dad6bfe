"""The middlewares in the one right order."""

from __future__ import annotations

from tachograph.asgi.body_limit import BodyLimit
from tachograph.asgi.catch_errors import CatchErrors
from tachograph.asgi.early_disconnect import EarlyDisconnect
from tachograph.asgi.facts import Facts
from tachograph.asgi.health import Bypass
from tachograph.asgi.log_context import LogContext
from tachograph.asgi.options import Options
from tachograph.asgi.rate_limit import RateLimiter
from tachograph.asgi.record import Recorder
from tachograph.asgi.request_id import RequestId
from tachograph.asgi.timeouts import BodyTimeout, RequestTimeout
from tachograph.asgi.types import ASGIApp
from tachograph.metrics import WideEvent

__all__ = ["ORDER", "stack"]

ORDER = (
    RequestId,
    LogContext,
    Recorder,
    RateLimiter,
    CatchErrors,
    EarlyDisconnect,
    RequestTimeout,
    BodyTimeout,
    BodyLimit,
)
"""The layers, outermost first; each class says why it stands there."""


def stack(
    app: ASGIApp, *, record: type[WideEvent] | None, options: Options | None = None
) -> ASGIApp:
    """Return *app* inside the middlewares, in `ORDER`.

    HTTP requests go through all of them; health checks, websockets and lifespan go straight to
    *app*.

    Args:
        app: Any ASGI 3.0 application.
        record: The class whose records are emitted, one a request; None for none.
        options: What each layer does.

    Raises:
        DeclarationError: The record class cannot be filled; the message lists every problem.
    """
    options = options or Options()
    layers = app
    if options.body_limit is not None:
        layers = BodyLimit(layers, options.body_limit)
    if options.body_timeout is not None:
        layers = BodyTimeout(layers, options.body_timeout)
    if options.request_timeout is not None:
        layers = RequestTimeout(layers, options.request_timeout)
    if options.early_disconnect:
        layers = EarlyDisconnect(layers, cancel=options.cancel_on_disconnect)
    if options.catch_errors:
        layers = CatchErrors(layers)
    if options.rate_limit is not None:
        layers = RateLimiter(layers, options.rate_limit)
    if record is not None:
        layers = Recorder(layers, Facts(record, options.classify))
    return Bypass(RequestId(LogContext(layers)), app, options.health_paths)
