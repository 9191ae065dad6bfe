"""Real requests over sockets, of all kinds; what the clients saw is kept to be compared."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import aiohttp

__all__ = ["Request", "Seen", "drive", "mixed"]

MAX_BODY_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send."""

    method: str
    path: str
    body: bytes | None = None


@dataclass(slots=True)
class Seen:
    """What the clients saw.

    Attributes:
        statuses: Number of answers by status.
        ids: The request id of each answer, in order of arrival.
        failed: Requests without an answer: refused, reset, or cut.
        milliseconds: Time of each answered request.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    failed: int = 0
    milliseconds: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Number of answers."""
        return len(self.ids)


def mixed(count: int) -> Iterator[Request]:
    """Yield *count* requests: writes, hits, misses, echoes, malformed, oversize, unknown routes."""
    kinds: list[Callable[[int], Request]] = [
        lambda n: Request("PUT", f"/items/k{n % 97}", b"v" * (n % 700)),
        lambda n: Request("GET", f"/items/k{n % 97}"),
        lambda n: Request("PUT", f"/items/k{n % 97}", b"w" * (n % 90)),
        lambda n: Request("GET", f"/items/absent-{n}"),
        lambda _: Request("POST", "/echo", b'{"message":"hello"}'),
        lambda n: Request("GET", f"/items/k{n % 13}"),
        lambda _: Request("POST", "/echo", b'{"message":'),
        lambda n: Request("GET", f"/nowhere/{n}"),
    ]
    turn = itertools.cycle(kinds)
    for n in range(count):
        if n % 500 == 250:
            yield Request("PUT", "/items/huge", b"x" * (MAX_BODY_BYTES + 1))
        else:
            yield next(turn)(n)


async def drive(
    url: str,
    requests: Iterable[Request],
    *,
    seen: Seen,
    workers: int = 16,
    seconds: float = 60.0,
) -> None:
    """Send *requests* over *workers* connections for at most *seconds*; note what came back.

    A refused or broken connection counts as failed and is not tried again.
    """
    shared = iter(requests)
    end = time.monotonic() + seconds
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=workers)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:

        async def work() -> None:
            for request in shared:
                if time.monotonic() > end:
                    return
                await _send(session, request, seen)

        await asyncio.gather(*(work() for _ in range(workers)))


async def _send(session: aiohttp.ClientSession, request: Request, seen: Seen) -> None:
    headers = {"content-type": "application/json"} if request.path == "/echo" else {}
    start = time.perf_counter()
    try:
        async with session.request(
            request.method, request.path, data=request.body, headers=headers
        ) as response:
            await response.read()
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        seen.failed += 1
        return
    seen.milliseconds.append((time.perf_counter() - start) * 1e3)
    seen.statuses[response.status] += 1
    seen.ids.append(response.headers.get("x-request-id", ""))
