"""What the stack does; checked as a whole when it is made."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tachograph.asgi.rate_limit import RateLimit
from tachograph.asgi.types import Scope
from tachograph.errors import ConfigError

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of `stack`.

    Attributes:
        classify: From a scope to the operation, for a record's field `operation`.
        request_timeout: Seconds for a whole request, then 408; None for no limit.
        body_timeout: Seconds of waiting for the request's body, in total, then 408; None for no
            limit.
        body_limit: Most bytes of a request's body, else 413; None for no limit.
        rate_limit: A bucket shared by all requests, else 429; None for no limit.
        catch_errors: Answer 500 when the application raises; else the server does.
        early_disconnect: Notice clients that go away before the response is finished.
        cancel_on_disconnect: Cancel the handler then.
        health_paths: Paths outside all of it: no record, no id, no limit.

    Raises:
        ConfigError: Something is wrong; the message lists all of it.
    """

    classify: Callable[[Scope], enum.Enum] | None = None
    request_timeout: float | None = 16.0
    body_timeout: float | None = 10.0
    body_limit: int | None = 1_048_576
    rate_limit: RateLimit | None = None
    catch_errors: bool = True
    early_disconnect: bool = True
    cancel_on_disconnect: bool = False
    health_paths: Sequence[str] = ("/health",)

    def __post_init__(self) -> None:
        problems = []
        for name in ("request_timeout", "body_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                problems.append(f"{name}: expected seconds above 0 or None, got {seconds!r}.")
        if self.body_limit is not None and self.body_limit < 0:
            problems.append(f"body_limit: expected bytes or None, got {self.body_limit!r}.")
        if self.cancel_on_disconnect and not self.early_disconnect:
            problems.append("cancel_on_disconnect needs early_disconnect, which is off.")
        if isinstance(self.health_paths, str):
            problems.append(f"health_paths: expected several paths, got {self.health_paths!r}.")
        else:
            problems += [
                f"health_paths: expected a path starting with `/`, got {path!r}."
                for path in self.health_paths
                if not path.startswith("/")
            ]
        if problems:
            raise ConfigError("\n".join(problems))
