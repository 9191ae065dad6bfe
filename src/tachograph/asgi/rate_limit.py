"""Layer 5: one token bucket for all requests."""

from __future__ import annotations

import math

from tachograph._base.clock import clock
from tachograph.asgi.state import KEY, ErrorKind, respond
from tachograph.asgi.types import ASGIApp, Receive, Scope, Send
from tachograph.errors import ConfigError

__all__ = ["RateLimit", "RateLimiter"]


class RateLimit:
    """A bucket of *burst* tokens that refills by *per_second*; a request takes one.

    Raises:
        ConfigError: A number is not above 0.
    """

    __slots__ = ("_burst", "_filled_ns", "_per_second", "_tokens")

    def __init__(self, *, burst: int = 2_000, per_second: float = 1_000.0) -> None:
        if burst < 1 or not per_second > 0:
            msg = (
                "RateLimit: expected a burst of at least 1 and tokens per second above 0, got "
                f"burst={burst!r}, per_second={per_second!r}."
            )
            raise ConfigError(msg)
        self._burst = burst
        self._per_second = per_second
        self._tokens = float(burst)
        self._filled_ns = clock.monotonic_ns()

    def take(self) -> float:
        """Take a token; return 0, or the seconds until there will be one."""
        now_ns = clock.monotonic_ns()
        refill = (now_ns - self._filled_ns) * self._per_second / 1e9
        self._filled_ns = now_ns
        self._tokens = min(self._burst, self._tokens + refill)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second


class RateLimiter:
    """Answers 429 with `Retry-After` when the bucket is empty.

    Inside the record, so that its 429 is recorded; outside everything that does work.
    """

    def __init__(self, app: ASGIApp, limit: RateLimit) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        wait = self._limit.take()
        if wait:
            seconds = str(math.ceil(wait)).encode()
            headers = [(b"retry-after", seconds)]
            await respond(scope[KEY], send, 429, ErrorKind.RateLimited, headers)
            return
        await self._app(scope, receive, send)
